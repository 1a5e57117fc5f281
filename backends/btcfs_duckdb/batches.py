"""Many vectors of one view at once: the same rows as one by one, found and checked together."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import attrs
import msgspec
import numpy as np

from btcfs.definitions import TIME_KEY
from btcfs.instants import EPOCH
from btcfs.store import FeatureVector
from btcfs_duckdb.payload import Floats, Integers, from_rows, whole
from btcfs_duckdb.plans import Part, Plan
from btcfs_duckdb.tables import Found, Table, Tail
from btcfs_duckdb.vector_batch import VectorBatch

# Fewer keys are not worth the arrays.
MANY = 8
_MICROSECOND = timedelta(microseconds=1)
_encoded = msgspec.msgpack.Encoder().encode
# How MessagePack begins a timestamp of whole seconds from 1970 to 2106, and the seconds that follow.
_TIMESTAMP = b"\xd6\xff"
_SECONDS = np.dtype(">u4")
_Held = dict[int, Found]


def vectors(
    plan: Plan,
    connection: sqlite3.Connection,
    keys: Sequence[Mapping[str, Any]],
    defaults: Mapping[str, str],
    source: str,
) -> Sequence[FeatureVector]:
    """One vector per key, in order. Errors are those of ``get_online_features``."""
    found = None
    if (asked := _asked(plan, keys)) is not None:
        held = _in_table(asked.part.table, connection, asked)
        found = None if held is None else _together(plan, asked, held, source)
    return found if found is not None else [plan.vector(connection, key, defaults, source) for key in keys]


def at_hand(plan: Plan, keys: Sequence[Mapping[str, Any]], count: int, source: str) -> Sequence[FeatureVector] | None:
    """The vectors, if all can be told from memory and segments at this number of the commit counter."""
    table = plan.parts[0].table
    first = keys[0].get(plan.entity[0]) if plan.plain else None
    tail = table.kept(first, count) if type(first) is str else None
    if tail is None:
        return None
    asked = _asked(plan, keys)
    if asked is not None:
        bulk = table.bulks.get(asked.entity)
        if bulk is not None and tail.oldest > bulk.last:  # as mostly, and most keys are in segments
            found = _together(plan, asked, {}, source)
            if found is not None:
                return found
        return _together(plan, asked, _in_memory(tail, asked.times), source)
    vectors = []
    for key in keys:
        vector = plan.at_hand(key, count, source)
        if vector is None:
            return None
        vectors.append(vector)
    return vectors


@attrs.define(eq=False)
class Asked:
    """Keys of one entity with a time each, in microseconds; ``encoded`` are the keys in MessagePack."""

    part: Part
    entity: str
    times: Integers
    encoded: bytes | bytearray


def _together(plan: Plan, asked: Asked, held: _Held, source: str) -> VectorBatch | None:
    """The vectors, with these rows going before those of segments. None if a row is missing or damaged: then it is found
    out one by one which."""
    numbers = _numbers(asked, held)
    if numbers is None:
        return None
    values = numbers if asked.part.identity else numbers[:, asked.part.sources]
    known = () if plan.step is not None else [held[time][1] for time in asked.times.tolist()]
    return VectorBatch(values, asked.encoded, plan.step, known, source, plan.fingerprint)


def _asked(plan: Plan, keys: Sequence[Mapping[str, Any]]) -> Asked | None:
    """What many keys of one entity with a time each ask for, None for any others."""
    if len(keys) < MANY or not plan.plain or len(keys[0]) != 2:
        return None
    name = plan.entity[0]
    entity, instant = keys[0].get(name), keys[0].get(TIME_KEY)
    if type(entity) is not str or type(instant) is not datetime:
        return None
    found = _stamps(keys) or _micros(name, entity, keys)
    return None if found is None else Asked(plan.parts[0], entity, *found)


def _stamps(keys: Sequence[Mapping[str, Any]]) -> tuple[Integers, bytes] | None:
    """The times, and the keys encoded, of keys that differ in nothing else. None for others, and for times with fractions
    of a second.

    The fastest way from datetimes to numbers is their encoding in MessagePack, where only a zoned one is a timestamp.
    """
    try:
        encoded, first = _encoded(keys), _encoded(keys[0])
    except TypeError:
        return None
    count, width = len(keys), len(first)
    at, end = len(encoded) - count * width, width - _SECONDS.itemsize
    if at not in (1, 3, 5) or first[end - len(_TIMESTAMP) : end] != _TIMESTAMP:
        return None
    seconds: Any = np.ndarray(count, _SECONDS, encoded, at + end, width)
    # The first key as often as there are keys, with these seconds: what is encoded if nothing else differs.
    same = bytearray(encoded[:at] + first * count)
    np.ndarray(count, _SECONDS, same, at + end, width)[:] = seconds
    return (seconds.astype("int64") * 1_000_000, encoded) if same == encoded else None


def _micros(name: str, entity: str, keys: Sequence[Mapping[str, Any]]) -> tuple[Integers, bytes] | None:
    """The same for all keys of this entity with a zoned datetime each, and nothing else."""
    if any(len(key) != 2 or key.get(name) != entity for key in keys):
        return None
    instants: list[Any] = [key.get(TIME_KEY) for key in keys]
    if set(map(type, instants)) != {datetime} or None in map(datetime.utcoffset, instants):
        return None
    times = np.array([(instant - EPOCH) // _MICROSECOND for instant in instants], dtype="int64")
    return times, _encoded([{name: entity, TIME_KEY: instant} for instant in instants])


def _in_table(table: Table, connection: sqlite3.Connection, asked: Asked) -> _Held | None:
    """The rows that the table has among these times; they go before the segments'. None if one is damaged."""
    low, high = int(asked.times.min()), int(asked.times.max())
    if connection.execute(table.among, (asked.entity, low, high)).fetchone() is None:
        return {}
    if table.step and (high - low) // table.step < 2 * len(asked.times):
        found = connection.execute(table.between, (asked.entity, low, high))
    else:
        found = connection.execute(table.several, (json.dumps(asked.times.tolist()), asked.entity))
    held: _Held = {row[0]: row for row in found.fetchall()}
    return held if all(whole(row[2], row[0], row[1]) for row in held.values()) else None


def _in_memory(tail: Tail, times: Integers) -> _Held:
    """The same from the rows that are in memory."""
    assert tail.rows is not None
    rows = tail.rows
    return rows if rows and not rows.keys().isdisjoint(times.tolist()) else {}


def _numbers(asked: Asked, held: _Held) -> Floats | None:
    """The rows of these times, shape (times, numbers of a row); None if one is missing or damaged."""
    times, part = asked.times, asked.part
    bulk = part.table.bulks.get(asked.entity)
    if not held:
        return None if bulk is None else bulk.gather(times)
    own = np.array([time in held for time in times.tolist()])
    numbers = np.empty((len(times), *part.shape))
    if not own.all():
        found = None if bulk is None else bulk.gather(times[~own])
        if found is None:
            return None
        numbers[~own] = found
    rows = [held[time][2] for time in times[own].tolist()]
    if set(map(len, rows)) - {part.size}:
        return None
    numbers[own] = from_rows(b"".join(rows), part.shape[0])
    return numbers
