"""How the vectors of a view are read from the online file: which tables, segments and places."""

from __future__ import annotations

import sqlite3
from bisect import bisect_right
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from typing import Any
from zlib import crc32

import attrs
import numpy as np

from btcfs import catalogue
from btcfs.catalogue import ResolvedView
from btcfs.definitions import TIME_KEY, FeatureGroup, FeatureView
from btcfs.errors import StoreUnavailable
from btcfs.instants import EPOCH, from_micros, to_micros
from btcfs.keys import no_such_key, resolve_key
from btcfs.store import FeatureVector
from btcfs_duckdb import online
from btcfs_duckdb.payload import WHOLE, entity_text, unpack
from btcfs_duckdb.readers import Generation
from btcfs_duckdb.segments import Segment

_EVER = 2**63 - 1
_MICROSECOND = timedelta(microseconds=1)
Found = tuple[int, int, bytes]


@attrs.frozen(eq=False)
class Table:
    """The online rows of one group: in a table, and in segments by entity, which a row of the table goes before."""

    group: FeatureGroup
    exact: str
    newest: str
    among: str
    between: str
    several: str
    step: int
    segments: Mapping[str, tuple[list[int], list[Segment]]]

    def at(self, connection: sqlite3.Connection, entity: str, time: int) -> Found | None:
        """The row with this entity and time key: its time, event time and bytes."""
        found = connection.execute(self.exact, (entity, time)).fetchone()
        if found is None and entity in self.segments:
            known = self._in_segments(entity, time)
            return known if known is not None and known[0] == time else None
        return _checked(self.group, found)

    def known(self, connection: sqlite3.Connection, entity: str, event_time: int) -> Found | None:
        """The newest row of this entity whose event time is not after this one."""
        found = connection.execute(self.newest, (entity, event_time - self.step)).fetchone()
        if entity in self.segments:
            known = self._in_segments(entity, event_time - self.step)
            if known is not None and (found is None or known[0] > found[0]):
                return known
        return _checked(self.group, found)

    def _in_segments(self, entity: str, time: int) -> Found | None:
        firsts, segments = self.segments[entity]
        place = bisect_right(firsts, time) - 1
        if place < 0:
            return None
        segment = segments[place]
        index = segment.newest(time)
        found = segment.time(index)
        return _checked(self.group, (found, found + self.step, segment.row(index)))


@attrs.frozen(eq=False)
class Part:
    """What one group gives to a view: which of its online numbers go where in the vector."""

    table: Table
    entity: tuple[int, ...]
    width: int
    sources: Any
    targets: Any
    identity: bool  # the sources are all the numbers in their order


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
    plain: bool = attrs.field(init=False)  # one group, keyed by one text and the candle's time
    step: timedelta | None = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        plain = self.single and len(self.entity) == 1 and set(self.columns) == {self.entity[0], TIME_KEY}
        object.__setattr__(self, "plain", plain)
        object.__setattr__(self, "step", self.leading.step)

    @property
    def single(self) -> bool:
        """Whether one row makes a vector."""
        return len(self.parts) == 1

    def vector(
        self, connection: sqlite3.Connection, key: Mapping[str, Any], defaults: Mapping[str, str], source: str
    ) -> FeatureVector:
        if len(key) == 2 and self.plain:
            # The key that is asked for most; what follows judges every other, and does the same for this one.
            symbol, instant = key.get(self.entity[0]), key.get(TIME_KEY)
            if type(symbol) is str and type(instant) is datetime and instant.tzinfo is timezone.utc:
                return self._at(connection, symbol, instant, source)
        entity, time = resolve_key(self.leading, key, defaults)
        first = self.parts[0]
        text = entity[0] if len(entity) == 1 else entity_text(entity)
        row = first.table.known(connection, text, _EVER) if time is None else first.table.at(connection, text, time)
        if row is None:
            raise no_such_key(self.leading, entity, time)
        known = row[1]
        values = unpack(row[2], first.width)[first.sources]
        if len(self.parts) > 1:
            values, known = self._joined(connection, entity, values, _EVER if time is None else known, known)
        named = dict(zip(self.entity, entity, strict=True))
        full = {name: from_micros(row[0]) if name == TIME_KEY else named[name] for name in self.columns}
        return FeatureVector(values, from_micros(known), source, self.fingerprint, full)

    def _at(self, connection: sqlite3.Connection, symbol: str, instant: datetime, source: str) -> FeatureVector:
        """The vector of one entity's candle, in a view of one group: what ``vector`` gives, in fewer steps."""
        part = self.parts[0]
        row = part.table.at(connection, symbol, (instant - EPOCH) // _MICROSECOND)
        if row is None:
            raise no_such_key(self.leading, (symbol,), to_micros(instant))
        event_time = from_micros(row[1]) if self.step is None else instant + self.step
        key = {self.entity[0]: symbol, TIME_KEY: instant}
        numbers = unpack(row[2], part.width)
        values = numbers.copy() if part.identity else numbers[part.sources]
        return FeatureVector(values, event_time, source, self.fingerprint, key)

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
                values[part.targets] = unpack(row[2], part.width)[part.sources]
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
        len(held),
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
    segments: dict[str, tuple[list[int], list[Segment]]] = {}
    for entity, first, count, file in rows.fetchall():
        firsts, opened = segments.setdefault(entity, ([], []))
        firsts.append(first)
        opened.append(generation.segment(file, count, width))
    step = 0 if group.step is None else group.step // timedelta(microseconds=1)
    among = f"SELECT 1 FROM {online.table(applied)} WHERE entity=? AND ts BETWEEN ? AND ? LIMIT 1"
    between = f"{select} AND ts BETWEEN ? AND ?"
    # CROSS JOIN keeps SQLite from going through the whole table for each time.
    several = (
        f"SELECT t.ts, t.event_time, t.payload FROM json_each(?) k CROSS JOIN {online.table(applied)} t "
        f"WHERE t.entity=? AND t.ts=k.value"
    )
    return Table(group, f"{select} AND ts=?", newest, among, between, several, step, segments)


def _checked(group: FeatureGroup, found: Found | None) -> Found | None:
    if found is not None and crc32(found[2], (found[0] ^ found[1]) & 0xFFFFFFFF) != WHOLE:
        raise StoreUnavailable(
            f"the online row of {group.title} with event time {from_micros(found[1])} is damaged on the disk. "
            f"Run btcfs store rebuild-online, which builds the online table anew from the offline tables"
        )
    return found
