"""Many vectors of one view at once: the same rows as one by one, found and checked together."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta, timezone
from itertools import repeat
from operator import add, attrgetter
from typing import Any

import numpy as np

from btcfs.definitions import TIME_KEY
from btcfs.instants import EPOCH, from_micros
from btcfs.store import FeatureVector
from btcfs_duckdb.payload import CHECK, FLOAT, Bytes, Floats, Integers, whole
from btcfs_duckdb.plans import Plan
from btcfs_duckdb.tables import Found, Table, Tail

# Fewer keys are not worth the arrays.
MANY = 8
_MICROSECOND = timedelta(microseconds=1)
_ZONE = attrgetter("tzinfo")
_Held = dict[int, Found]


def vectors(
    plan: Plan,
    connection: sqlite3.Connection,
    keys: Sequence[Mapping[str, Any]],
    defaults: Mapping[str, str],
    source: str,
    count: int = -1,
) -> list[FeatureVector]:
    """One vector per key, in order. Errors are those of ``get_online_features``.

    ``count`` is the commit counter's number if what is kept in memory may be used.
    """
    found = _together(plan, connection, keys, source, count) if len(keys) >= MANY else None
    return found if found is not None else [plan.vector(connection, key, defaults, source) for key in keys]


def _together(
    plan: Plan, connection: sqlite3.Connection, keys: Sequence[Mapping[str, Any]], source: str, count: int
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
    times = micros(instants)
    tail = part.table.kept(entity, count)
    held = _in_table(part.table, connection, entity, times) if tail is None else _in_memory(tail, times)
    if held is None:
        return None
    rows = _rows(part.table, entity, times, held)
    if rows is None or rows.size != len(times) * part.size:
        return None
    numbers = rows.reshape(len(times), part.size)[:, : part.size - CHECK].copy().view(FLOAT)
    values: Floats = numbers if part.identity else numbers[:, part.sources]
    known: Iterable[datetime]
    if plan.step is None:
        known = [from_micros(held[time][1]) for time in times.tolist()]
    else:
        known = map(add, instants, repeat(plan.step))
    # No loop in Python: each of its turns would take as long as the rest of a vector.
    return list(map(FeatureVector, values, known, repeat(source), repeat(plan.fingerprint), map(dict, keys)))


def micros(instants: list[datetime]) -> Integers:
    """Microseconds since the epoch of UTC datetimes."""
    seconds = np.array(list(map(datetime.timestamp, instants)))
    whole_seconds = seconds.astype("int64")
    if (whole_seconds == seconds).all():  # then nothing was rounded
        return whole_seconds * 1_000_000
    return np.array([(instant - EPOCH) // _MICROSECOND for instant in instants], dtype="int64")


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


def _in_table(table: Table, connection: sqlite3.Connection, entity: str, times: Integers) -> _Held | None:
    """The rows that the table has among these times; they go before the segments'. None if one is damaged."""
    low, high = int(times.min()), int(times.max())
    if connection.execute(table.among, (entity, low, high)).fetchone() is None:
        return {}
    if table.step and (high - low) // table.step < 2 * len(times):
        found = connection.execute(table.between, (entity, low, high))
    else:
        found = connection.execute(table.several, (json.dumps(times.tolist()), entity))
    held: _Held = {row[0]: row for row in found.fetchall()}
    return held if all(whole(row[2], row[0], row[1]) for row in held.values()) else None


def _in_memory(tail: Tail, times: Integers) -> _Held:
    """The same from the rows that are in memory."""
    assert tail.rows is not None
    rows = tail.rows
    return rows if rows and not rows.keys().isdisjoint(times.tolist()) else {}


def _rows(table: Table, entity: str, times: Integers, held: _Held) -> Bytes | None:
    """The rows of these times one after another, None if one is missing or damaged."""
    if not held:
        return _in_segments(table, entity, times)
    asked = times.tolist()
    missing = [time for time in asked if time not in held]
    if not missing:
        return np.frombuffer(b"".join([held[time][2] for time in asked]), "u1")
    found = _in_segments(table, entity, np.array(missing))
    if found is None:
        return None
    others = iter(found.reshape(len(missing), -1))
    return np.frombuffer(b"".join([held[time][2] if time in held else next(others).data for time in asked]), "u1")


def _in_segments(table: Table, entity: str, times: Integers) -> Bytes | None:
    bulk = table.bulks.get(entity)
    return None if bulk is None else bulk.gather(times, table.step)
