"""From a view and its keys to vectors: the online read path, which loads neither DuckDB nor pandas."""

from __future__ import annotations

import sqlite3
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import attrs
import numpy as np

from btcfs import catalogue
from btcfs.catalogue import ResolvedView
from btcfs.definitions import TIME_KEY, FeatureGroup, FeatureView
from btcfs.errors import StoreUnavailable
from btcfs.instants import from_micros
from btcfs.keys import no_such_key, resolve_key
from btcfs.store import FeatureVector
from btcfs_duckdb import online
from btcfs_duckdb.payload import entity_text, unpack, whole
from btcfs_duckdb.readers import Generation, Readers
from btcfs_duckdb.segments import Segment, damaged

_EVER = 2**63 - 1
Found = tuple[int, int, bytes]


@attrs.frozen(eq=False)
class Table:
    """The online rows of one group: in a table, and in segments by entity, which a row of the table goes before."""

    group: FeatureGroup
    exact: str
    newest: str
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


@attrs.frozen(eq=False)
class Plan:
    """How a view's vectors are read, valid for one epoch of one generation."""

    epoch: int
    view: FeatureView
    leading: FeatureGroup
    parts: tuple[Part, ...]

    def vector(
        self, connection: sqlite3.Connection, key: Mapping[str, Any], defaults: Mapping[str, str], source: str
    ) -> FeatureVector:
        leading = self.leading
        entity, time = resolve_key(leading, key, defaults)
        first = self.parts[0]
        text = entity_text(entity)
        table = first.table
        row = table.known(connection, text, _EVER) if time is None else table.at(connection, text, time)
        if row is None:
            raise no_such_key(leading, entity, time)
        known = event_time = row[1]
        numbers = unpack(row[2], first.width)
        if len(self.parts) == 1:
            values = numbers[first.sources]
        else:
            values = np.full(len(self.view.features), np.nan)
            values[first.targets] = numbers[first.sources]
            for part in self.parts[1:]:
                text = entity_text([entity[place] for place in part.entity])
                other = part.table.known(connection, text, _EVER if time is None else event_time)
                if other is not None:
                    values[part.targets] = unpack(other[2], part.width)[part.sources]
                    known = max(known, other[1])
        named = dict(zip(leading.entity, entity, strict=True))
        full = {name: from_micros(row[0]) if name == TIME_KEY else named[name] for name in leading.primary_key}
        return FeatureVector(values, from_micros(known), source, self.view.fingerprint, full)


class Vectors:
    """``get_online_features`` on the online file, with the plan of each view kept as long as it holds."""

    def __init__(self, readers: Readers, defaults: Mapping[str, str], source: str) -> None:
        self._readers = readers
        self._defaults = defaults
        self._source = source
        self._plans: tuple[Generation | None, dict[str, Plan]] = (None, {})

    def get(self, view: FeatureView, keys: Sequence[Mapping[str, Any]]) -> list[FeatureVector]:
        """One vector per key, all from the same commit. Errors are those of the protocol."""
        try:
            return self._get(view, keys)
        except FileNotFoundError:
            # A segment went after its name was read: its group was deleted, or the generation changed.
            pass
        try:
            return self._get(view, keys)
        except FileNotFoundError as exc:
            raise damaged(Path(exc.filename)) from exc

    def close(self) -> None:
        """Let go of the segments that plans hold open."""
        self._plans = (None, {})

    def _get(self, view: FeatureView, keys: Sequence[Mapping[str, Any]]) -> list[FeatureVector]:
        connection, generation = self._readers.take()
        try:
            # One read transaction, so that every row comes from the same commit.
            connection.execute("BEGIN")
            try:
                plan = self._plan(connection, generation, view)
                defaults, source = self._defaults, self._source
                return [plan.vector(connection, key, defaults, source) for key in keys]
            finally:
                connection.execute("ROLLBACK")
        except sqlite3.DatabaseError as exc:
            raise online.ours(generation.path, exc) from exc
        finally:
            self._readers.give(connection, generation)

    def _plan(self, connection: sqlite3.Connection, generation: Generation, view: FeatureView) -> Plan:
        epoch = connection.execute("SELECT epoch FROM meta").fetchone()[0]
        owner, plans = self._plans
        if owner is not generation:
            plans = {}
            self._plans = (generation, plans)
        plan = plans.get(view.fingerprint)
        if plan is None or plan.epoch != epoch:
            plan = plans[view.fingerprint] = _planned(connection, generation, view, epoch)
        return plan


def _planned(connection: sqlite3.Connection, generation: Generation, view: FeatureView, epoch: int) -> Plan:
    stored = online.stored(connection)
    definitions = [each.definition for each in stored]
    catalogue.same(definitions, view)
    resolved = catalogue.resolve(definitions, view)
    applied = {each.definition.ref: each.applied for each in stored if isinstance(each.definition, FeatureGroup)}
    parts = tuple(
        _part(connection, generation, resolved, index, applied[group.ref])
        for index, (group, _, _) in enumerate(resolved.parts)
    )
    return Plan(epoch, view, resolved.leading, parts)


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
    return Table(group, f"{select} AND ts=?", newest, step, segments)


def _checked(group: FeatureGroup, found: Found | None) -> Found | None:
    if found is not None and not whole(found[2], found[0], found[1]):
        raise StoreUnavailable(
            f"the online row of {group.title} with event time {from_micros(found[1])} is damaged on the disk. "
            f"Run btcfs store rebuild-online, which builds the online table anew from the offline tables"
        )
    return found
