"""Many vectors of one view at once: the same rows as one by one, found and checked together."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta, timezone
from typing import Any
from zlib import crc32

import numpy as np

from btcfs.definitions import TIME_KEY
from btcfs.instants import EPOCH
from btcfs.store import FeatureVector
from btcfs_duckdb.payload import FLOAT, WHOLE, Floats, Integers, row_size
from btcfs_duckdb.plans import Plan, Table
from btcfs_duckdb.segments import Segment

# Fewer keys are not worth the arrays.
MANY = 8
_MICROSECOND = timedelta(microseconds=1)


def vectors(
    plan: Plan,
    connection: sqlite3.Connection,
    keys: Sequence[Mapping[str, Any]],
    defaults: Mapping[str, str],
    source: str,
) -> list[FeatureVector]:
    """One vector per key, in order. Errors are those of ``get_online_features``."""
    found = _all_in_segments(plan, connection, keys) if len(keys) >= MANY else None
    if found is None:
        return [plan.vector(connection, key, defaults, source) for key in keys]
    entity, values = found
    name, step, fingerprint = plan.entity[0], plan.leading.step, plan.fingerprint
    assert step is not None
    times = [key[TIME_KEY] for key in keys]
    named = [{name: entity, TIME_KEY: time} for time in times]
    return [
        FeatureVector(row, time + step, source, fingerprint, key)
        for row, time, key in zip(values, times, named, strict=True)
    ]


def _all_in_segments(
    plan: Plan, connection: sqlite3.Connection, keys: Sequence[Mapping[str, Any]]
) -> tuple[str, Floats] | None:
    """The entity that all keys name and a row of numbers for each, None unless each is in a segment and in no table."""
    part = plan.parts[0]
    if not plan.single or len(plan.entity) != 1 or plan.columns != (plan.entity[0], TIME_KEY):
        return None
    entity = keys[0].get(plan.entity[0])
    times = _times(plan.entity[0], entity, keys)
    if (
        times is None
        or not isinstance(entity, str)
        or entity not in part.table.segments
        or _in_table(part.table, connection, entity, times)
    ):
        return None
    rows = _rows(part.table, entity, times, part.width)
    if rows is None:
        return None
    body = 8 * part.width
    numbers = np.ascontiguousarray(rows[:, :body]).view(FLOAT)
    return entity, numbers[:, part.sources]


def _times(name: str, entity: Any, keys: Sequence[Mapping[str, Any]]) -> Integers | None:
    """The time keys in microseconds, None unless each key has this entity, a UTC datetime and nothing else."""
    if type(entity) is not str:
        return None
    times = []
    for key in keys:
        time = key.get(TIME_KEY)
        if len(key) != 2 or type(time) is not datetime or time.tzinfo is not timezone.utc or key.get(name) != entity:
            return None
        times.append((time - EPOCH) // _MICROSECOND)
    return np.array(times, dtype="int64")


def _in_table(table: Table, connection: sqlite3.Connection, entity: str, times: Integers) -> bool:
    """Whether a row of the table, which goes before the segments, may have one of these times."""
    found = connection.execute(table.among, (entity, int(times.min()), int(times.max()))).fetchone()
    return found is not None


def _rows(table: Table, entity: str, times: Integers, width: int) -> Any:
    """The bytes of each row, checked; None if one is missing or damaged, which is then found out one by one."""
    firsts, segments = table.segments[entity]
    places = np.searchsorted(np.array(firsts), times, side="right") - 1
    size = row_size(width)
    rows = np.empty((len(times), size), dtype="u1")
    for place in set(places.tolist()):
        chosen = places == place
        if place < 0 or not _filled(rows, chosen, segments[place], times[chosen]):
            return None
    data = memoryview(rows).cast("B")  # type: ignore[arg-type]
    seeds = ((times ^ (times + table.step)) & 0xFFFFFFFF).tolist()
    for at, seed in zip(range(0, len(data), size), seeds, strict=True):
        if crc32(data[at : at + size], seed) != WHOLE:
            return None
    return rows


def _filled(rows: Any, chosen: Any, segment: Segment, times: Integers) -> bool:
    known, content = segment.arrays()
    indices = np.searchsorted(known, times)
    indices[indices == len(known)] = 0
    if not np.array_equal(known[indices], times):
        return False
    rows[chosen] = content[indices]
    return True
