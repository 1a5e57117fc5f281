"""Many vectors of one view at once: the same rows as one by one, found and checked together."""

from __future__ import annotations

import json
import sqlite3
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta, timezone
from itertools import repeat
from operator import attrgetter
from typing import Any

import numpy as np

from btcfs.definitions import TIME_KEY
from btcfs.instants import EPOCH, from_micros
from btcfs.store import FeatureVector
from btcfs_duckdb.payload import FLOAT, Floats, row_size, whole
from btcfs_duckdb.plans import Plan, Table

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
    held = _in_table(part.table, connection, entity, times)
    rows = _rows(part.table, entity, times, held)
    if rows is None or len(rows) != len(times) * row_size(part.width):
        return None
    numbers = np.frombuffer(rows, "u1").reshape(len(times), -1)[:, : 8 * part.width].copy().view(FLOAT)
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


def _rows(table: Table, entity: str, times: list[int], held: _Held) -> bytes | None:
    """The bytes of the rows of these times one after another, None if one is missing or damaged."""
    firsts, segments = table.segments.get(entity, ((), ()))
    rows = []
    for time in times:
        if time in held:
            event_time, row = held[time]
            if not whole(row, time, event_time):
                return None
        else:
            place = bisect_right(firsts, time) - 1
            found = None if place < 0 else segments[place].at(time, table.step)
            if found is None:
                return None
            row = found
        rows.append(row)
    return b"".join(rows)
