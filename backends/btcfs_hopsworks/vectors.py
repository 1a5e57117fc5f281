"""From a view and its keys to vectors: online rows, each checked against the catalogue, and the log where one does not hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import attrs
import numpy as np

from btcfs import catalogue, frames, keys
from btcfs.catalogue import ResolvedView
from btcfs.definitions import TIME_KEY, FeatureGroup, FeatureView
from btcfs.instants import from_micros
from btcfs.store import FeatureVector
from btcfs_hopsworks import columns, staging
from btcfs_hopsworks.history import Asked, Logs
from btcfs_hopsworks.ledger import Ledger, Snapshot, entry_of
from btcfs_hopsworks.serving import Doors, Found

TRUSTED = 1.0  # seconds for which another process's changes of definitions may stay unseen


@attrs.frozen(eq=False)
class Wanted:
    """One key asked: the entity by column, its time in microseconds or None for the newest."""

    entity: tuple[str, ...]
    time: int | None


@attrs.frozen(eq=False)
class Plan:
    """A view matched to its groups, and when it was defined."""

    resolved: ResolvedView
    defined: int


class Vectors:
    """``get_online_features``. A row counts if the catalogue says so of the write that made it.

    The catalogue is asked again only when a row is newer than what is known; a row of a write under
    way, or of one that came to no end, is never served: then the log answers, slower and right.
    """

    def __init__(self, ledger: Ledger, logs: Logs, doors: Doors, defaults: Mapping[str, str], source: str) -> None:
        self._ledger = ledger
        self._logs = logs
        self._doors = doors
        self._defaults = defaults
        self._source = source
        self._plans: dict[str, tuple[Snapshot, Plan]] = {}

    def get(self, view: FeatureView, asked: Sequence[Mapping[str, Any]]) -> list[FeatureVector]:
        """One vector per key, in the order asked. Errors are those of the protocol."""
        snapshot = self._ledger.recent(TRUSTED)
        if snapshot.record(view) is None:
            snapshot = self._ledger.refresh()
        plan = self._plan(snapshot, view)
        leading = plan.resolved.leading
        wanted = [Wanted(*keys.resolve_key(leading, key, self._defaults)) for key in asked]
        if not wanted:
            return []
        answer = _Answer(self, plan, snapshot, wanted)
        return [answer.vector(place) for place in range(len(wanted))]

    def _plan(self, snapshot: Snapshot, view: FeatureView) -> Plan:
        known = self._plans.get(view.fingerprint)
        if known is not None and known[0] is snapshot:
            return known[1]
        catalogue.same(snapshot.definitions, view)
        record = snapshot.records[entry_of(view)]
        plan = Plan(catalogue.resolve(snapshot.definitions, view), record.defined)
        self._plans[view.fingerprint] = (snapshot, plan)
        return plan


class _Answer:
    """One call: what it read online, and what it had to look up in the log."""

    def __init__(self, owner: Vectors, plan: Plan, snapshot: Snapshot, wanted: Sequence[Wanted]) -> None:
        self._owner = owner
        self._plan = plan
        self._snapshot = snapshot
        self._wanted = wanted
        self._refreshed = False
        self._logged: dict[tuple[tuple[str, int], str], Any] = {}
        parts = plan.resolved.parts
        self._online = [self._looked_up(index, group) for index, (group, _, _) in enumerate(parts)]

    def vector(self, place: int) -> FeatureVector:
        wanted, parts = self._wanted[place], self._plan.resolved.parts
        leading = parts[0][0]
        first = self._row(0, wanted, wanted.time, None)
        if first is None:
            raise keys.no_such_key(leading, wanted.entity, wanted.time)
        values = np.full(len(self._plan.resolved.view.features), np.nan)
        newest = first.event
        for index, (_, _, places) in enumerate(parts):
            found: Found | None = first
            if index:
                found = self._row(index, wanted, None, None if wanted.time is None else first.event)
            if found is not None:
                values[list(places)] = found.values
                newest = max(newest, found.event)
        named = dict(zip(leading.entity, wanted.entity, strict=True))
        full = {name: from_micros(first.time) if name == TIME_KEY else named[name] for name in leading.primary_key}
        owner = self._owner
        return FeatureVector(values, from_micros(newest), owner._source, self._plan.resolved.view.fingerprint, full)

    def _looked_up(self, index: int, group: FeatureGroup) -> dict[str, Found]:
        names = self._plan.resolved.parts[index][1]
        if self._snapshot.head(group).rows == 0:
            # Nothing was known a moment ago; a look costs less than an answer that is out of date.
            self._renew()
        door = self._owner._doors.open(self._plan.resolved.view, index, names, self._plan.defined)
        return door.several([self._key(group, wanted, wanted.time if index == 0 else None) for wanted in self._wanted])

    def _row(self, index: int, wanted: Wanted, time: int | None, known_at: int | None) -> Found | None:
        """The row of that time, or the newest one, if need be the newest known at an instant."""
        group, names, _ = self._plan.resolved.parts[index]
        found = self._online[index].get(self._key(group, wanted, time))
        if found is None:
            return None
        if not self._counts(group, found):
            return self._from_log(group, names, wanted, time, known_at)
        if known_at is not None and found.event > known_at:
            return self._from_log(group, names, wanted, time, known_at)
        return found

    def _counts(self, group: FeatureGroup, found: Found) -> bool:
        if self._snapshot.head(group).counts(found.write):
            return True
        self._renew()
        return self._snapshot.head(group).counts(found.write)

    def _renew(self) -> None:
        if not self._refreshed:
            self._refreshed = True
            self._snapshot = self._owner._ledger.refresh()

    def _key(self, group: FeatureGroup, wanted: Wanted, time: int | None) -> str:
        return columns.row_key(columns.entity_digest(self._entity(group, wanted)), time)

    def _entity(self, group: FeatureGroup, wanted: Wanted) -> tuple[str, ...]:
        leading = self._plan.resolved.leading
        if group.entity == leading.entity:
            return wanted.entity
        named = dict(zip(leading.entity, wanted.entity, strict=True))
        return tuple(named[name] for name in group.entity)

    def _from_log(
        self, group: FeatureGroup, names: tuple[str, ...], wanted: Wanted, time: int | None, known_at: int | None
    ) -> Found | None:
        entity = self._entity(group, wanted)
        digest = columns.entity_digest(entity)
        if (group.ref, digest) not in self._logged:
            asked = Asked(entity=dict(zip(group.entity, entity, strict=True)))
            columns_asked = (*group.primary_key, group.event_time, *names)
            frame = self._owner._logs.frame(group, self._snapshot.head(group), asked, columns_asked)
            self._logged[group.ref, digest] = (frame, *_times(group, frame))
        frame, times, events = self._logged[group.ref, digest]
        keep = np.ones(len(frame), dtype=bool)
        if time is not None:
            keep &= times == time
        if known_at is not None:
            keep &= events <= known_at
        places = np.flatnonzero(keep)
        if not len(places):
            return None
        best = places[np.lexsort((times[places], events[places]))[-1]]
        values = tuple(float(frame[name].iloc[best]) for name in names)
        return Found(int(times[best]), int(events[best]), 0, values)


def _times(group: FeatureGroup, frame: Any) -> tuple[staging.Integers, staging.Integers]:
    return columns.time_keys(group, frame), frames.micros(frame[group.event_time])
