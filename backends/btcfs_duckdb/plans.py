"""How the vectors of a view are read from the online file: which tables, segments and places."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta, timezone
from typing import Any

import attrs
import numpy as np

from btcfs import catalogue
from btcfs.catalogue import ResolvedView
from btcfs.definitions import TIME_KEY, FeatureGroup, FeatureView
from btcfs.instants import EPOCH, from_micros, to_micros
from btcfs.keys import no_such_key, resolve_key
from btcfs.store import FeatureVector
from btcfs_duckdb import online
from btcfs_duckdb.bulk import Bulk
from btcfs_duckdb.payload import FLOAT, Floats, entity_text, row_size
from btcfs_duckdb.readers import Generation
from btcfs_duckdb.tables import EVER, Found, Table

_MICROSECOND = timedelta(microseconds=1)


@attrs.frozen(eq=False)
class Part:
    """What one group gives to a view: which of its online numbers go where in the vector."""

    table: Table
    entity: tuple[int, ...]
    shape: tuple[int]
    sources: Any
    targets: Any
    identity: bool  # the sources are all the numbers in their order

    @property
    def size(self) -> int:
        """Bytes of a row."""
        return row_size(self.shape[0])

    def numbers(self, row: bytes) -> Floats:
        """What the view wants of a row, in memory of its own."""
        if self.identity:
            own: Floats = np.ndarray(self.shape, FLOAT, bytearray(row))
            return own
        chosen: Floats = np.ndarray(self.shape, FLOAT, row)[self.sources]
        return chosen


@attrs.frozen(eq=False)
class Plan:
    """How a view's vectors are read, valid for one epoch of one generation."""

    epoch: int
    view: FeatureView
    fingerprint: str
    leading: FeatureGroup
    entity: tuple[str, ...]
    columns: tuple[str, ...]
    parts: tuple[Part, ...]
    single: bool = attrs.field(init=False)  # one row makes a vector
    plain: bool = attrs.field(init=False)  # and is keyed by one text and the candle's time
    step: timedelta | None = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        single = len(self.parts) == 1
        plain = single and len(self.entity) == 1 and set(self.columns) == {self.entity[0], TIME_KEY}
        for name, value in (("single", single), ("plain", plain), ("step", self.leading.step)):
            object.__setattr__(self, name, value)

    def at_hand(self, key: Mapping[str, Any], count: int, source: str) -> FeatureVector | None:
        """The vector of one key, if that can be told from memory and segments at this number of the commit counter."""
        asked = self._usual(key)
        if asked is None:
            return None
        symbol, instant = asked
        table = self.parts[0].table
        tail = table.kept(symbol, count)
        if tail is None:
            return None
        if instant is None:
            row = table.kept_newest(tail, symbol)
        else:
            row = table.kept_at(tail, symbol, (instant - EPOCH) // _MICROSECOND)
        return self._made(symbol, instant, row, source)

    def vector(
        self, connection: sqlite3.Connection, key: Mapping[str, Any], defaults: Mapping[str, str], source: str
    ) -> FeatureVector:
        """The vector of one key. Errors are those of ``get_online_features``."""
        asked = self._usual(key)
        if asked is not None:
            symbol, instant = asked
            table = self.parts[0].table
            if instant is None:
                found = table.known(connection, symbol, EVER)
            else:
                found = table.at(connection, symbol, (instant - EPOCH) // _MICROSECOND)
            return self._made(symbol, instant, found, source)
        entity, time = resolve_key(self.leading, key, defaults)
        first = self.parts[0]
        text = entity[0] if len(entity) == 1 else entity_text(entity)
        row = first.table.known(connection, text, EVER) if time is None else first.table.at(connection, text, time)
        if row is None:
            raise no_such_key(self.leading, entity, time)
        known = row[1]
        values = first.numbers(row[2])
        if len(self.parts) > 1:
            values, known = self._joined(connection, entity, values, EVER if time is None else known, known)
        named = dict(zip(self.entity, entity, strict=True))
        full = {name: from_micros(row[0]) if name == TIME_KEY else named[name] for name in self.columns}
        return FeatureVector(values, from_micros(known), source, self.fingerprint, full)

    def note(self, connection: sqlite3.Connection, keys: Sequence[Mapping[str, Any]], count: int) -> None:
        """Tell the table which entities were asked for, if memory can answer for them the next time."""
        if self.plain:
            for symbol in {key.get(self.entity[0]) for key in keys}:
                if type(symbol) is str:
                    self.parts[0].table.asked(connection, symbol, count)

    def _usual(self, key: Mapping[str, Any]) -> tuple[str, datetime | None] | None:
        """The entity and time, None for the newest, of the keys that are asked for most; None for every other key.

        ``resolve_key`` judges those, and would say the same of these.
        """
        symbol = key.get(self.entity[0]) if self.plain else None
        if type(symbol) is not str:
            return None
        if len(key) == 1:
            return symbol, None
        instant = key.get(TIME_KEY)
        if len(key) != 2 or type(instant) is not datetime or instant.tzinfo is not timezone.utc:
            return None
        return symbol, instant

    def _made(self, symbol: str, instant: datetime | None, row: Found | None, source: str) -> FeatureVector:
        """The vector of a row, in a view of one group: what ``vector`` gives, in fewer steps."""
        if row is None:
            raise no_such_key(self.leading, (symbol,), None if instant is None else to_micros(instant))
        if instant is None:
            instant = from_micros(row[0])
        event_time = from_micros(row[1]) if self.step is None else instant + self.step
        key = {self.entity[0]: symbol, TIME_KEY: instant}
        return FeatureVector(self.parts[0].numbers(row[2]), event_time, source, self.fingerprint, key)

    def _joined(
        self, connection: sqlite3.Connection, entity: tuple[str, ...], leading: Any, at: int, known: int
    ) -> tuple[Any, int]:
        """The leading group's numbers with those of the other groups, as known at that event time."""
        values = np.full(len(self.view.features), np.nan)
        values[self.parts[0].targets] = leading
        for part in self.parts[1:]:
            text = entity_text([entity[place] for place in part.entity])
            row = part.table.known(connection, text, at)
            if row is not None:
                values[part.targets] = part.numbers(row[2])
                known = max(known, row[1])
        return values, known


def planned(connection: sqlite3.Connection, generation: Generation, view: FeatureView, epoch: int) -> Plan:
    """The plan of a stored view. Errors are those of ``catalogue.same`` and ``resolve``."""
    stored = online.stored(connection)
    definitions = [each.definition for each in stored]
    catalogue.same(definitions, view)
    resolved = catalogue.resolve(definitions, view)
    applied = {each.definition.ref: each.applied for each in stored if isinstance(each.definition, FeatureGroup)}
    parts = tuple(
        _part(connection, generation, resolved, index, applied[group.ref])
        for index, (group, _, _) in enumerate(resolved.parts)
    )
    leading = resolved.leading
    return Plan(epoch, view, view.fingerprint, leading, leading.entity, leading.primary_key, parts)


def _part(
    connection: sqlite3.Connection, generation: Generation, resolved: ResolvedView, index: int, applied: int
) -> Part:
    group, names, positions = resolved.parts[index]
    held = [feature.name for feature in group.features if feature.numeric]
    sources = np.array([held.index(name) for name in names], dtype="int64")
    targets = np.array(positions, dtype="int64")
    if len(resolved.parts) == 1:
        sources = sources[np.argsort(targets)]
    leading = resolved.leading.entity
    return Part(
        _table(connection, generation, group, applied, len(held)),
        tuple(leading.index(name) for name in group.entity),
        (len(held),),
        sources,
        targets,
        bool(np.array_equal(sources, np.arange(len(held)))),
    )


def _table(
    connection: sqlite3.Connection, generation: Generation, group: FeatureGroup, applied: int, width: int
) -> Table:
    select = f"SELECT ts, event_time, payload FROM {online.table(applied)} WHERE entity=?"
    newest = f"{select} AND event_time<=? ORDER BY event_time DESC, ts DESC LIMIT 1"
    if group.interval is not None:
        newest = f"{select} AND ts<=? ORDER BY ts DESC LIMIT 1"
    rows = connection.execute(
        "SELECT entity, first, rows, file FROM segments WHERE applied=? ORDER BY entity, first", (applied,)
    )
    step = 0 if group.step is None else group.step // _MICROSECOND
    bulks: dict[str, Bulk] = {}
    for entity, first, count, file in rows.fetchall():
        bulk = bulks.setdefault(entity, Bulk(step))
        bulk.firsts.append(first)
        bulk.segments.append(generation.segment(file, count, width))
    everything = f"{select} LIMIT ?"
    among = f"SELECT 1 FROM {online.table(applied)} WHERE entity=? AND ts BETWEEN ? AND ? LIMIT 1"
    between = f"{select} AND ts BETWEEN ? AND ?"
    # CROSS JOIN keeps SQLite from going through the whole table for each time.
    several = (
        f"SELECT t.ts, t.event_time, t.payload FROM json_each(?) k CROSS JOIN {online.table(applied)} t "
        f"WHERE t.entity=? AND t.ts=k.value"
    )
    return Table(group, f"{select} AND ts=?", newest, everything, among, between, several, step, bulks)
