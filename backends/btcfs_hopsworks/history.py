"""Rows out of the log: which of them count, and the newest of each key."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import attrs
import numpy as np
import pandas as pd

from btcfs import frames
from btcfs.definitions import TIME_KEY, FeatureGroup
from btcfs.instants import from_micros
from btcfs.store import Commit
from btcfs_hopsworks import columns
from btcfs_hopsworks.columns import COMMIT, ENTITY, EVENT, TIME, WRITE
from btcfs_hopsworks.gateway import groups
from btcfs_hopsworks.gateway.groups import Condition
from btcfs_hopsworks.gateway.session import Session
from btcfs_hopsworks.ledger import Head

Integers = np.ndarray[Any, np.dtype[np.int64]]


@attrs.frozen
class Asked:
    """Which rows of a group: ``start <= event time < end`` in microseconds, entity values, knowledge time, time keys."""

    start: int | None = None
    end: int | None = None
    entity: Mapping[str, str] = attrs.field(factory=dict)
    as_of: int | None = None
    times: tuple[int, int] | None = None
    """First and last time key, both included."""
    commit: int | None = None
    """Only rows of this commit."""


class Logs:
    """Reads logs, with the handles of their groups kept for as long as the definition is."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._handles: dict[tuple[str, int], tuple[int, Any]] = {}

    def handle(self, group: FeatureGroup, head: Head) -> Any:
        """The Hopsworks feature group. StoreUnavailable if it is gone though it is in the catalogue."""
        known = self._handles.get(group.ref)
        if known is not None and known[0] == head.base:
            return known[1]
        found = groups.find(self._session, *group.ref)
        if found is None:
            from btcfs.errors import StoreUnavailable

            raise StoreUnavailable(
                f"{group.title} is in the catalogue, but its Hopsworks feature group was deleted by other hands; delete the "
                f"group here too and apply it anew"
            )
        self._handles[group.ref] = (head.base, found)
        return found

    def forget(self, group: FeatureGroup) -> None:
        """Look the handle up again; it may have been left in the middle of something."""
        self._handles.pop(group.ref, None)

    def table(self, group: FeatureGroup, head: Head, asked: Asked, names: Sequence[str]) -> Any | None:
        """The newest counting rows of each key, ordered by primary key, as a pyarrow table; None if there are none.

        It has the stamps ENTITY, TIME, EVENT and WRITE, and the columns that hold these btcfs columns.
        """
        if head.rows == 0:
            return None
        wanted = [ENTITY, TIME, EVENT, WRITE, *columns.needed(group, [*group.entity, *names])]
        found = groups.rows(
            self._session, self.handle(group, head), list(dict.fromkeys(wanted)), _conditions(group, head, asked)
        )
        if found is None or found.num_rows == 0:
            return None
        return _newest(group, found, head, asked)

    def frame(self, group: FeatureGroup, head: Head, asked: Asked, names: Sequence[str]) -> pd.DataFrame:
        """The same as a frame of these btcfs columns, in their exact types."""
        table = self.table(group, head, asked, names)
        if table is None or table.num_rows == 0:
            return frames.empty(group)[list(names)]
        return pd.DataFrame({name: columns.column(group, table, name) for name in names})

    def stamps(self, group: FeatureGroup, head: Head, after: int) -> Integers:
        """The write of each row of a write after that one, counting or not."""
        found = groups.rows(self._session, self.handle(group, head), [WRITE], [Condition(WRITE, ">", after)])
        return np.zeros(0, dtype="int64") if found is None else integers(found, WRITE)

    def commits(self, group: FeatureGroup, head: Head) -> list[Commit]:
        """Each commit with the number of its rows, oldest first."""
        if head.rows == 0:
            return []
        names = [WRITE, COMMIT, columns.COMMIT_ID]
        found = groups.rows(self._session, self.handle(group, head), names, [Condition(WRITE, "<=", head.write)])
        if found is None:
            return []
        counting = found.filter(_visible(integers(found, WRITE), head))
        pairs = zip(integers(counting, COMMIT).tolist(), counting.column(columns.COMMIT_ID).to_pylist(), strict=True)
        return [Commit(name, from_micros(at), rows) for (at, name), rows in sorted(Counter(pairs).items())]


def integers(table: Any, name: str) -> Integers:
    """A column of whole numbers without a missing one."""
    return np.asarray(table.column(name).to_numpy(), dtype="int64")


def _conditions(group: FeatureGroup, head: Head, asked: Asked) -> list[Condition]:
    conditions = [Condition(WRITE, "<=", head.write), Condition(WRITE, ">", head.base)]
    if asked.as_of is not None:
        conditions.append(Condition(COMMIT, "<=", asked.as_of))
    if asked.commit is not None:
        conditions.append(Condition(COMMIT, "==", asked.commit))
    if group.entity and set(asked.entity) == set(group.entity):
        digest = columns.entity_digest(tuple(asked.entity[name] for name in group.entity))
        conditions.append(Condition(ENTITY, "==", digest))
    if asked.times is not None:
        conditions += [Condition(TIME, ">=", asked.times[0]), Condition(TIME, "<=", asked.times[1])]
    if group.interval is not None:
        # Elsewhere the event time of a key may have moved out of the range, and its older row must not answer.
        if asked.start is not None:
            conditions.append(Condition(EVENT, ">=", asked.start))
        if asked.end is not None:
            conditions.append(Condition(EVENT, "<", asked.end))
    return conditions


def _visible(writes: Integers, head: Head) -> Any:
    import pyarrow as pa

    counting = (writes > head.base) & (writes <= head.write)
    if head.aborted:
        counting &= ~np.isin(writes, head.aborted)
    return pa.array(counting)


def _newest(group: FeatureGroup, found: Any, head: Head, asked: Asked) -> Any:
    found = found.filter(_visible(integers(found, WRITE), head))
    codes, _ = pd.factorize(np.asarray(found.column(ENTITY).to_pylist(), dtype=object))
    times, writes = integers(found, TIME), integers(found, WRITE)
    order = np.lexsort((writes, times, codes))
    last = np.ones(len(order), dtype=bool)
    last[:-1] = (codes[order[1:]] != codes[order[:-1]]) | (times[order[1:]] != times[order[:-1]])
    found = found.take(order[last])
    keep = np.ones(found.num_rows, dtype=bool)
    events = integers(found, EVENT)
    if asked.start is not None:
        keep &= events >= asked.start
    if asked.end is not None:
        keep &= events < asked.end
    for name, value in asked.entity.items():
        keep &= np.array([text == value for text in found.column(columns.name_of(name)).to_pylist()], dtype=bool)
    found = found.take(np.flatnonzero(keep))
    return found.take(_key_order(group, found))


def _key_order(group: FeatureGroup, table: Any) -> Integers:
    ranks = []
    for name in group.primary_key:
        if name == TIME_KEY:
            ranks.append(integers(table, TIME))
            continue
        codes, distinct = pd.factorize(np.asarray(table.column(columns.name_of(name)).to_pylist(), dtype=object))
        rank = np.empty(len(distinct), dtype="int64")
        rank[sorted(range(len(distinct)), key=list(distinct).__getitem__)] = np.arange(len(distinct))
        ranks.append(rank[codes] if len(codes) else codes)
    return np.lexsort(tuple(reversed(ranks)))
