"""Feature groups and views that were made in Hopsworks by other hands, for reading."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import attrs
import pandas as pd

from btcfs import instants
from btcfs.errors import NotFound, SchemaError
from btcfs_hopsworks.gateway import groups, views
from btcfs_hopsworks.gateway.groups import Condition
from btcfs_hopsworks.gateway.session import Session


@attrs.frozen
class OtherGroup:
    """A feature group that btcfs did not make: its columns with their Hive types, its key and event time."""

    name: str
    version: int
    columns: tuple[tuple[str, str], ...]
    primary_key: tuple[str, ...]
    event_time: str | None
    online: bool
    description: str


def listed(session: Session, ours: set[tuple[str, int]]) -> list[OtherGroup]:
    """Every group of the project but these, by name and version."""
    found = [_other(handle) for handle in groups.listed(session) if (handle.name, handle.version) not in ours]
    return sorted(found, key=lambda group: (group.name, group.version))


def read(
    session: Session,
    name: str,
    version: int,
    columns: Sequence[str] | None,
    start: datetime | None,
    end: datetime | None,
) -> pd.DataFrame:
    """Rows with ``start <= event time < end``, as Hopsworks gives them. NotFound for an unknown group."""
    handle = groups.find(session, name, version)
    if handle is None:
        raise NotFound(f"no feature group {name} v{version} in {session.address.title}")
    known = dict(groups.columns_of(handle))
    chosen = list(known) if columns is None else list(columns)
    unknown = [column for column in chosen if column not in known]
    if unknown:
        raise SchemaError(f"{name} v{version} has no column {', '.join(unknown)}; it has {', '.join(known)}")
    event = handle.event_time
    if (start is not None or end is not None) and event is None:
        raise SchemaError(f"{name} v{version} has no event time, so it has no rows from or until an instant")
    wanted = chosen if event is None or event in chosen else [*chosen, event]
    conditions = [] if event is None else _conditions(event, known[event], start, end)
    table = groups.rows(session, handle, wanted, conditions)
    frame = pd.DataFrame(columns=wanted) if table is None else table.to_pandas()
    if event is not None and len(frame) and known[event] == "timestamp":
        frame = frame[_within(frame[event], start, end)]
    return frame[chosen].reset_index(drop=True)


def vector(session: Session, name: str, version: int, key: Mapping[str, Any]) -> dict[str, Any]:
    """The online values of one key of a feature view, by feature. NotFound for an unknown view or key."""
    handle = views.find(session, name, version)
    if handle is None:
        raise NotFound(f"no feature view {name} v{version} in {session.address.title}")
    views.start_serving(session, handle)
    values = views.vector(session, handle, key)
    if values is None:
        raise NotFound(f"feature view {name} v{version} has no row for {dict(key)}")
    return dict(zip(views.names(handle), values, strict=True))


def _other(handle: Any) -> OtherGroup:
    return OtherGroup(
        handle.name,
        handle.version,
        tuple(groups.columns_of(handle)),
        tuple(handle.primary_key or ()),
        handle.event_time,
        bool(handle.online_enabled),
        handle.description or "",
    )


def _conditions(event: str, kind: str, start: datetime | None, end: datetime | None) -> list[Condition]:
    """The cluster compares whole seconds, or milliseconds in a bigint; what it gives too much is cut here."""
    conditions = []
    for instant, op in ((start, ">="), (end, "<")):
        if instant is None:
            continue
        micros = instants.to_micros(instant)
        if kind == "bigint":
            conditions.append(Condition(event, op, micros // 1000 if op == ">=" else -(-micros // 1000)))
        else:
            whole = micros // 1_000_000 if op == ">=" else -(-micros // 1_000_000)
            conditions.append(Condition(event, op, f"{instants.from_micros(whole * 1_000_000):%Y-%m-%d %H:%M:%S}"))
    return conditions


def _within(times: pd.Series, start: datetime | None, end: datetime | None) -> Any:
    zoned = pd.to_datetime(times, utc=True)
    keep = pd.Series(True, index=times.index)
    if start is not None:
        keep &= zoned >= start
    if end is not None:
        keep &= zoned < end
    return keep
