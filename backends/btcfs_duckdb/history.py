"""Reading the offline tables: rows in a range, now or as they were known, and how many there are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import pandas as pd
import pyarrow as pa

from btcfs.definitions import FeatureGroup
from btcfs.instants import from_micros, to_micros
from btcfs.store import Commit, Summary
from btcfs_duckdb.engine import fetched
from btcfs_duckdb.schema import current, from_arrow, instant, key_order, listed, quoted, superseded

_OF_GROUP = "grp = ? AND version = ?"


def frame(
    connection: Any,
    group: FeatureGroup,
    start: datetime | None,
    end: datetime | None,
    entity: Mapping[str, str],
    columns: Sequence[str],
    seq: int | None,
) -> pd.DataFrame:
    """These columns of the rows with ``start <= event_time < end``, ordered by primary key; ``seq`` as for ``table``."""
    needed = tuple(dict.fromkeys((*columns, *group.primary_key)))
    rows = table(connection, group, start, end, entity, needed, seq)
    order = key_order(group, rows)
    return from_arrow(group, rows if order is None else rows.take(pa.array(order)), columns)


def table(
    connection: Any,
    group: FeatureGroup,
    start: datetime | None,
    end: datetime | None,
    entity: Mapping[str, str],
    columns: Sequence[str],
    seq: int | None,
) -> pa.Table:
    """The same as Arrow, in no order; with ``seq`` the rows right after that change instead of the newest."""
    where, params = _where(group, start, end, entity)
    query = f"SELECT {listed(columns)} FROM {current(group)} WHERE {where}"
    if seq is not None:
        query = (
            f"{query} AND _seq <= {seq} UNION ALL SELECT {listed(columns)} FROM {superseded(group)} "
            f"WHERE {where} AND _seq <= {seq} AND _seq_end > {seq}"
        )
        params = params * 2
    return connection.sql(query, params=params or None).to_arrow_table()


def since(connection: Any, group: FeatureGroup, seq: int, size: int) -> Iterable[pa.Table]:
    """The newest rows that were written after that change, ordered by key, in tables of about so many rows."""
    query = (
        f"SELECT {listed(group.columns)} FROM {current(group)} WHERE _seq > {seq} ORDER BY {listed(group.primary_key)}"
    )
    relation = connection.sql(query)
    # DuckDB renamed it: 1.4 has only the one, 2.0 warns of it.
    read = relation.to_arrow_reader if hasattr(relation, "to_arrow_reader") else relation.fetch_arrow_reader
    for batch in read(size):
        yield pa.Table.from_batches([batch])


def known_at(connection: Any, group: FeatureGroup, as_of: datetime | None) -> int | None:
    """The number of the last change of the group's rows at or before that instant, 0 if there was none."""
    if as_of is None:
        return None
    # Only within a group do numbers and times rise together: another may have been copied from elsewhere since.
    known = f"committed_at <= {instant(to_micros(as_of))} AND {_OF_GROUP}"
    return int(fetched(connection, f"SELECT coalesce(max(seq), 0) FROM commits WHERE {known}", [*group.ref])[0][0])


def commits(connection: Any, group: FeatureGroup) -> list[Commit]:
    """The group's commits, oldest first."""
    query = (
        f"SELECT commit_id, epoch_us(committed_at), sum(inserted + updated)::BIGINT FROM commits WHERE {_OF_GROUP} "
        f"GROUP BY commit_id, committed_at ORDER BY min(seq)"
    )
    return [Commit(name, from_micros(at), rows) for name, at, rows in fetched(connection, query, [*group.ref])]


def changes(
    connection: Any, group: FeatureGroup, commit: Commit, start: datetime | None, end: datetime | None
) -> pd.DataFrame:
    """The rows with ``start <= event_time < end`` as a commit left them, ordered by primary key."""
    columns, (where, _) = listed(group.columns), _where(group, start, end, {})
    mine = f"(SELECT seq FROM commits WHERE commit_id = ? AND {_OF_GROUP})"
    query = (
        f"SELECT {columns} FROM {current(group)} WHERE {where} AND _seq IN {mine} UNION ALL SELECT {columns} FROM "
        f"{superseded(group)} WHERE {where} AND _seq IN {mine} AND _seq_end NOT IN {mine}"
    )
    rows = connection.sql(query, params=[commit.id, *group.ref] * 3).to_arrow_table()
    order = key_order(group, rows)
    return from_arrow(group, rows if order is None else rows.take(pa.array(order)), group.columns)


def summary(connection: Any, group: FeatureGroup, entity: Mapping[str, str]) -> Summary:
    where, params = _where(group, None, None, entity)
    time = quoted(group.event_time)
    query = f"SELECT count(*), epoch_us(min({time})), epoch_us(max({time})) FROM {current(group)} WHERE {where}"
    rows, first, last = fetched(connection, query, params)[0]
    if not rows:
        return Summary(0)
    return Summary(rows, from_micros(first), from_micros(last))


def _where(
    group: FeatureGroup, start: datetime | None, end: datetime | None, entity: Mapping[str, str]
) -> tuple[str, list[Any]]:
    time = quoted(group.event_time)
    conditions = [f"{quoted(name)} = ?" for name in entity]
    if start is not None:
        conditions.append(f"{time} >= {instant(to_micros(start))}")
    if end is not None:
        conditions.append(f"{time} < {instant(to_micros(end))}")
    return " AND ".join(conditions) or "true", list(entity.values())
