"""Many vectors of one view at once: the same rows as one by one, found and checked together."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta, timezone
from itertools import repeat
from operator import attrgetter
from typing import Any
from zlib import crc32

import numpy as np

from btcfs.definitions import TIME_KEY
from btcfs.instants import EPOCH, from_micros
from btcfs.store import FeatureVector
from btcfs_duckdb.payload import FLOAT, WHOLE, Floats, Integers, row_size, whole
from btcfs_duckdb.plans import Plan, Table
from btcfs_duckdb.segments import Segment

# Fewer keys are not worth the arrays.
MANY = 8
_MICROSECOND = timedelta(microseconds=1)
_ZONE = attrgetter("tzinfo")
_Held = dict[int, tuple[int, bytes]]


def vectors(
    plan: Plan,
    connection: sqlite3.Connection,
    keys: Sequence[Mapping[str, Any]],
    defaults: Mapping[str, str],
    source: str,
) -> list[FeatureVector]:
    """One vector per key, in order. Errors are those of ``get_online_features``."""
    found = _together(plan, connection, keys, source) if len(keys) >= MANY else None
    return found if found is not None else [plan.vector(connection, key, defaults, source) for key in keys]


def _together(
    plan: Plan, connection: sqlite3.Connection, keys: Sequence[Mapping[str, Any]], source: str
) -> list[FeatureVector] | None:
    """The vectors of keys of one entity with a time each. None for other keys, and if a row is missing or damaged:
    then it is found out one by one which."""
    name = plan.entity[0] if len(plan.entity) == 1 else None
    if not plan.single or name is None or plan.columns != (name, TIME_KEY):
        return None
    instants = _instants(name, keys)
    if instants is None:
        return None
    entity: str = keys[0][name]
    part = plan.parts[0]
    times = [(instant - EPOCH) // _MICROSECOND for instant in instants]
    at = np.array(times)
    held = _in_table(part.table, connection, entity, times)
    rows = _rows(part.table, entity, at, times, held, row_size(part.width))
    if rows is None or not all(whole(row, time, event_time) for time, (event_time, row) in held.items()):
        return None
    numbers = rows[:, : 8 * part.width].copy().view(FLOAT)
    values: Floats = numbers if part.identity else numbers[:, part.sources]
    step = plan.step
    known = [from_micros(held[t][0]) for t in times] if step is None else [instant + step for instant in instants]
    # No loop in Python: each of its turns would take as long as the rest of a vector.
    return list(map(FeatureVector, values, known, repeat(source), repeat(plan.fingerprint), map(dict, keys)))


def _instants(name: str, keys: Sequence[Mapping[str, Any]]) -> list[datetime] | None:
    """The time keys, None unless each key has the same entity, a UTC datetime and nothing else."""
    try:
        instants = [key[TIME_KEY] for key in keys]
        entities = {key[name] for key in keys}
    except (KeyError, TypeError):
        return None
    if len(entities) != 1 or type(keys[0][name]) is not str or set(map(len, keys)) != {2}:
        return None
    if set(map(type, instants)) != {datetime}:
        return None
    return instants if set(map(_ZONE, instants)) == {timezone.utc} else None


def _in_table(table: Table, connection: sqlite3.Connection, entity: str, times: list[int]) -> _Held:
    """Event time and bytes, by time, of the rows that the table has among these; they go before the segments'."""
    low, high = min(times), max(times)
    if connection.execute(table.among, (entity, low, high)).fetchone() is None:
        return {}
    if table.step and (high - low) // table.step < 2 * len(times):
        found = connection.execute(table.between, (entity, low, high))
    else:
        found = connection.execute(table.several, (json.dumps(times), entity))
    return {time: (event_time, payload) for time, event_time, payload in found.fetchall()}


def _rows(table: Table, entity: str, at: Integers, times: list[int], held: _Held, size: int) -> Any:
    """The bytes of each row as an array of shape (times, size), None if one is missing."""
    if not held:
        return _of_segments(table, entity, at, size)
    missing = [time for time in times if time not in held]
    if not missing:
        content = b"".join([held[time][1] for time in times])
        if len(content) != len(times) * size:
            return None
        return np.frombuffer(content, "u1").reshape(len(times), size)
    others = _of_segments(table, entity, np.array(missing), size)
    if others is None:
        return None
    of_table = [time in held for time in times]
    content = b"".join([held[time][1] for time in times if time in held])
    if len(content) != (len(times) - len(missing)) * size:
        return None
    rows = np.empty((len(times), size), dtype="u1")
    rows[of_table] = np.frombuffer(content, "u1").reshape(-1, size)
    rows[np.logical_not(of_table)] = others
    return rows


def _of_segments(table: Table, entity: str, times: Any, size: int) -> Any:
    if entity not in table.segments:
        return None
    firsts, segments = table.segments[entity]
    if len(segments) == 1:
        return _of_segment(segments[0], times, table.step)
    places = np.searchsorted(np.array(firsts), times, side="right") - 1
    distinct = set(places.tolist())
    if -1 in distinct:
        return None
    if len(distinct) == 1:
        return _of_segment(segments[distinct.pop()], times, table.step)
    rows = np.empty((len(times), size), dtype="u1")
    for place in distinct:
        chosen = places == place
        found = _of_segment(segments[place], times[chosen], table.step)
        if found is None:
            return None
        rows[chosen] = found
    return rows


def _of_segment(segment: Segment, times: Integers, step: int) -> Any:
    """The rows of these times, None if one is missing."""
    known, content = segment.arrays()
    # Where no candle is missing a row's place follows from its time; where one is, it is looked for.
    indices = (times - known[0]) // step
    if not _at(known, indices, times):
        indices = known.searchsorted(times)
        if not _at(known, indices, times):
            return None
    rows = content[indices]
    if not segment.checked[indices].all():
        if not _whole(rows, times, step):
            return None
        segment.checked[indices] = True
    return rows


def _at(known: Integers, indices: Integers, times: Integers) -> bool:
    """Whether these times are known at these places; one before the first is taken for a place from the end."""
    try:
        return known[indices].tobytes() == times.tobytes()
    except IndexError:
        return False


def _whole(rows: Any, times: Integers, step: int) -> bool:
    """Whether each row has the bytes that were packed for its times."""
    seeds = ((times ^ (times + step)) & 0xFFFFFFFF).tolist()
    return set(map(crc32, rows.view(f"V{rows.shape[1]}")[:, 0].tolist(), seeds)) == {WHOLE}
