"""The ``FeatureStore`` of a dictionary."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import attrs
import numpy as np
import pandas as pd

from btcfs import catalogue, frames, instants, keys
from btcfs.catalogue import ResolvedView
from btcfs.definitions import TIME_KEY, Definition, FeatureGroup, FeatureView
from btcfs.errors import SchemaError, StoreUnavailable
from btcfs.memory.contents import Content, Contents, Key, Row, newest_at, numbers, same_bits
from btcfs.point_in_time import checked_spine
from btcfs.store import Capability, Commit, FeatureVector, Summary, WriteReport


class MemoryStore:
    """A ``FeatureStore`` in a dictionary. It forgets everything when its contents are dropped."""

    name = "memory"
    capabilities = frozenset(Capability)

    def __init__(self, contents: Contents, defaults: Mapping[str, str]) -> None:
        self._contents: Contents | None = contents
        self._defaults = defaults

    def apply(self, definition: Definition) -> None:
        contents = self._open()
        with contents.turn, contents.lock:
            catalogue.check_apply(contents.definitions, definition)
            others = [d for d in contents.definitions if not _same_name(d, definition)]
            contents.definitions = catalogue.ordered([*others, definition])
            if isinstance(definition, FeatureGroup):
                contents.tables.setdefault(definition.ref, {})
                contents.committed.setdefault(definition.ref, [])
            contents.changes.update(_touched(definition))

    def definitions(self) -> Sequence[Definition]:
        return list(self._open().definitions)

    def delete(self, definition: Definition, *, all_versions: bool = False) -> None:
        contents = self._open()
        with contents.turn, contents.lock:
            doomed = catalogue.doomed(contents.definitions, definition, all_versions=all_versions)
            contents.definitions = [d for d in contents.definitions if d not in doomed]
            for victim in doomed:
                if isinstance(victim, FeatureGroup):
                    del contents.tables[victim.ref], contents.committed[victim.ref]
                contents.changes.update(_touched(victim))

    def write(
        self, group: FeatureGroup, rows: pd.DataFrame | Iterable[pd.DataFrame], *, commit: Commit | None = None
    ) -> WriteReport:
        contents = self._open()
        catalogue.same(contents.definitions, group)
        staged: dict[Key, Content] = {}
        width = len(group.primary_key)
        for frame in frames.chunks(group, rows):
            for record in frames.to_records(group, frame):
                key, event_time, values = record[:width], record[width], record[width + 1 :]
                if key in staged:
                    raise SchemaError(f"{group.title}: the key {key} stands in two frames of one write")
                staged[key] = event_time, values
        with contents.turn, contents.lock:
            catalogue.same(contents.definitions, group)
            if commit is not None:
                catalogue.check_commit(group, next(iter(contents.committed[group.ref][-1:]), None), commit)
            return self._commit(contents, group, staged, commit)

    def read(
        self,
        group: FeatureGroup,
        start: datetime | None = None,
        end: datetime | None = None,
        *,
        entity: Mapping[str, str] | None = None,
        columns: Sequence[str] | None = None,
        as_of: datetime | None = None,
    ) -> pd.DataFrame:
        chosen = catalogue.chosen_columns(group, columns)
        low = instants.micros_of(start)
        high = instants.micros_of(end)
        rows = [
            row
            for row in self._rows(group, entity or {}, as_of)
            if (low is None or low <= row.event_time) and (high is None or row.event_time < high)
        ]
        records = [(*row.key, row.event_time, *row.values) for row in rows]
        return frames.from_records(group, records)[list(chosen)]

    def commits(self, group: FeatureGroup) -> Sequence[Commit]:
        contents = self._open()
        catalogue.same(contents.definitions, group)
        return list(contents.committed[group.ref])

    def changes(
        self, group: FeatureGroup, commit: Commit, start: datetime | None = None, end: datetime | None = None
    ) -> pd.DataFrame:
        found = catalogue.find_commit(group, self.commits(group), commit)
        at = instants.to_micros(found.committed_at)
        rows = [row for row in self._rows(group, {}, found.committed_at) if row.committed_at == at]
        frame = frames.from_records(group, [(*row.key, row.event_time, *row.values) for row in rows])
        return frames.between(group, frame, start, end)

    def summary(self, group: FeatureGroup, entity: Mapping[str, str] | None = None) -> Summary:
        times = [row.event_time for row in self._rows(group, entity or {}, None)]
        if not times:
            return Summary(0)
        return Summary(len(times), instants.from_micros(min(times)), instants.from_micros(max(times)))

    def get_historical_features(
        self, view: FeatureView, spine: pd.DataFrame, *, as_of: datetime | None = None
    ) -> pd.DataFrame:
        contents = self._open()
        with contents.lock:
            resolved = self._resolved(contents, view)
            times, _ = checked_spine(resolved, spine)
            block = np.full((len(spine), len(view.features)), np.nan)
            for group, names, places in resolved.parts:
                known = self._by_entity(group, as_of)
                asked = zip(*(spine[name] for name in group.entity), strict=True) if group.entity else [()] * len(spine)
                for index, entity in enumerate(asked):
                    row = newest_at(known.get(entity, []), int(times[index]))
                    if row is not None:
                        block[index, list(places)] = numbers(group, row, names)
        return pd.concat([spine.copy(), pd.DataFrame(block, columns=list(view.features), index=spine.index)], axis=1)

    def get_online_features(self, view: FeatureView, keys: Sequence[Mapping[str, Any]]) -> list[FeatureVector]:
        contents = self._open()
        with contents.lock:
            resolved = self._resolved(contents, view)
            by_group = {group.ref: self._by_entity(group, None) for group, _, _ in resolved.parts}
            return [self._vector(resolved, by_group, key) for key in keys]

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        with self._open().turn:
            yield

    def change_token(self, groups: Sequence[tuple[str, int]]) -> tuple[int, ...]:
        """A value that differs after any change of these groups, their rows or the views over them."""
        changes = self._open().changes
        return tuple([changes[ref] for ref in groups])

    def close(self) -> None:
        self._contents = None

    def __enter__(self) -> MemoryStore:
        self._open()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _open(self) -> Contents:
        if self._contents is None:
            raise StoreUnavailable("this memory store is closed; open another with btcfs.connect('memory')")
        return self._contents

    def _resolved(self, contents: Contents, view: FeatureView) -> ResolvedView:
        catalogue.same(contents.definitions, view)
        return catalogue.resolve(contents.definitions, view)

    def _commit(
        self, contents: Contents, group: FeatureGroup, staged: dict[Key, Content], given: Commit | None
    ) -> WriteReport:
        table = contents.tables[group.ref]
        new = [key for key in staged if key not in table]
        changed = [key for key in staged if key in table and not self._unchanged(table[key][-1], *staged[key])]
        times = [instants.from_micros(event_time) for event_time, _ in staged.values()]
        report = WriteReport(
            *group.ref,
            inserted=len(new),
            updated=len(changed),
            unchanged=len(staged) - len(new) - len(changed),
            start=min(times, default=None),
            end=max(times, default=None),
        )
        if not report.changed:
            return report
        contents.commits += 1
        if given is None:
            # A clock may stand still or step back; knowledge time may not.
            at = max(instants.to_micros(instants.now()), contents.last_commit + 1)
            given = Commit(f"{contents.commits:012d}", instants.from_micros(at))
        at = instants.to_micros(given.committed_at)
        contents.last_commit = max(at, contents.last_commit)
        for key in [*new, *changed]:
            table.setdefault(key, []).append(Row(key, *staged[key], at))
        contents.changes[group.ref] += 1
        if given not in contents.committed[group.ref][-1:]:
            contents.committed[group.ref].append(given)
        return attrs.evolve(report, commit_id=given.id, committed_at=given.committed_at)

    def _unchanged(self, row: Row, event_time: int, values: tuple[Any, ...]) -> bool:
        return row.event_time == event_time and all(map(same_bits, row.values, values))

    def _rows(self, group: FeatureGroup, entity: Mapping[str, str], as_of: datetime | None) -> list[Row]:
        """The newest row of each key of these entities as known then, ordered by key."""
        contents = self._open()
        catalogue.check_entity(group, entity)
        limit = instants.micros_of(as_of)
        wanted = [(group.primary_key.index(name), value) for name, value in entity.items()]
        with contents.lock:
            catalogue.same(contents.definitions, group)
            table = contents.tables[group.ref]
            found = []
            for key in sorted(table):
                known = [row for row in table[key] if limit is None or row.committed_at <= limit]
                if known and all(key[place] == value for place, value in wanted):
                    found.append(known[-1])
        return found

    def _by_entity(self, group: FeatureGroup, as_of: datetime | None) -> dict[Key, list[Row]]:
        """Each entity's rows by event time, those of one event time by key."""
        places = [group.primary_key.index(name) for name in group.entity]
        found: dict[Key, list[Row]] = {}
        for row in sorted(self._rows(group, {}, as_of), key=lambda row: (row.event_time, row.key)):
            found.setdefault(tuple(row.key[place] for place in places), []).append(row)
        return found

    def _vector(
        self, resolved: ResolvedView, by_group: Mapping[Any, dict[Key, list[Row]]], key: Mapping[str, Any]
    ) -> FeatureVector:
        leading = resolved.leading
        entity, time = keys.resolve_key(leading, key, self._defaults)
        named = dict(zip(leading.entity, entity, strict=True))
        candidates = by_group[leading.ref].get(entity, [])
        if time is not None:
            place = leading.primary_key.index(TIME_KEY)
            candidates = [row for row in candidates if row.key[place] == time]
        if not candidates:
            raise keys.no_such_key(leading, entity, time)
        first = candidates[-1]
        values = np.full(len(resolved.view.features), np.nan)
        newest = first.event_time
        for group, names, places in resolved.parts:
            row: Row | None = first
            if group is not leading:
                known = by_group[group.ref].get(tuple(named[name] for name in group.entity), [])
                row = newest_at(known, None if time is None else first.event_time)
            if row is not None:
                values[list(places)] = numbers(group, row, names)
                newest = max(newest, row.event_time)
        full = {
            name: instants.from_micros(part) if name == TIME_KEY else part
            for name, part in zip(leading.primary_key, first.key, strict=True)
        }
        return FeatureVector(values, instants.from_micros(newest), self.name, resolved.view.fingerprint, full)


def _touched(definition: Definition) -> tuple[tuple[str, int], ...]:
    """The groups that a definition is, or is made of."""
    return (definition.ref,) if isinstance(definition, FeatureGroup) else definition.groups


def _same_name(one: Definition, other: Definition) -> bool:
    return type(one) is type(other) and one.ref == other.ref
