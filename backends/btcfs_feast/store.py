"""The feature store in a Feast repository."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import attrs
import pandas as pd
import pyarrow as pa

from btcfs import catalogue, frames, instants, point_in_time
from btcfs.definitions import Definition, FeatureGroup, FeatureView
from btcfs.errors import StoreBusy, StoreUnavailable, Unsupported
from btcfs.store import Capability, Commit, FeatureVector, Summary, WriteReport
from btcfs_feast import history, pushed, sources, states
from btcfs_feast.attached import ForeignTable
from btcfs_feast.commits import Pending
from btcfs_feast.online_side import OnlineSide
from btcfs_feast.registered import Registered, Stored
from btcfs_feast.repository import Repository, open_repository
from btcfs_feast.serving import Serving
from btcfs_feast.shelf import Asked, DayHashes, Entry, Shelf, to_arrow
from btcfs_feast.turns import Tick, Turns
from btcfs_feast.vectors import Vectors


@attrs.frozen
class Options:
    """How a repository is used; see ``btcfs_feast.connect``."""

    scan: bool
    online_rows: int
    timeout: float
    defaults: Mapping[str, str]


def open_store(path: Path, *, create: bool, data: Path | None, options: Options) -> FeastStore:
    """The store in that repository; see ``btcfs_feast.connect``."""
    repository = open_repository(path, create=create, timeout=options.timeout)
    return FeastStore(repository, data or repository.root / "data" / "btcfs", options)


class FeastStore:
    """A ``FeatureStore`` in a Feast repository, by Feast's public calls. Several threads may share it."""

    name = "feast"

    def __init__(self, repository: Repository, data: Path, options: Options) -> None:
        self._repository = repository
        self._options = options
        self._turns = Turns(data, options.timeout)
        self._factory = sources.factory(repository, data)
        self._registered = Registered(repository, self._shelf)
        self._shelves: dict[str, Shelf] = {}
        self._online = OnlineSide(repository, self._turns, self._shelf_of, options.online_rows)
        self._vectors = Vectors(self._registered.stored, self._online.in_step, options.defaults, self.name)
        self._writing = False
        self._closed = False
        self.capabilities = sources.capabilities(repository, writable=self._factory is not None, scan=options.scan)

    @property
    def native(self) -> Any:
        """The ``feast.FeatureStore`` itself, for what btcfs does not offer; what is done with it, btcfs does not see."""
        self._refuse_closed()
        return self._repository.feast

    def apply(self, definition: FeatureGroup | FeatureView) -> None:
        self._needs(Capability.WRITE)
        if any(each.definition == definition and each.whole for each in self._registered.stored()):
            return
        with self._turns.exclusive():
            catalogue.check_apply(self.definitions(), definition)
            self._registered.apply(definition)
            self._vectors.forget()

    def definitions(self) -> Sequence[Definition]:
        self._refuse_closed()
        return [each.definition for each in self._registered.stored()]

    def delete(self, definition: FeatureGroup | FeatureView, *, all_versions: bool = False) -> None:
        self._needs(Capability.DELETE)
        with self._turns.exclusive():
            stored = self._registered.stored()
            doomed = catalogue.doomed([s.definition for s in stored], definition, all_versions=all_versions)
            for each in stored:
                if each.definition in doomed:
                    self._registered.delete(each)
            self._vectors.forget()

    def write(
        self, group: FeatureGroup, rows: pd.DataFrame | Iterable[pd.DataFrame], *, commit: Commit | None = None
    ) -> WriteReport:
        self._needs(Capability.WRITE)
        if not self._turns.mine:
            self._stored(group)  # so that a mistake need not wait for its turn
        with self._turns.exclusive(), self._one_write():
            stored = self._stored(group)
            if not stored.ours:
                raise Unsupported(
                    f"{group.title} was made by someone else in Feast; btcfs reads it and does not write it"
                )
            shelf = self._shelf_of(stored)
            entries = shelf.entries()
            if commit is not None:
                catalogue.check_commit(group, next(iter(history.commits(entries)[-1:]), None), commit)
            last = entries[-1] if entries else Entry(0, "", 0, 0, 0, 0, 0)
            tick = self._turns.tick(Tick(last.seq, last.at))
            serving = self._online.serving(stored) if Capability.ONLINE in self.capabilities else None
            if serving is not None and serving.behind(last.seq):
                serving.catch_up(last.seq, tick.at)
                tick = self._turns.tick(Tick(last.seq, last.at))
            return self._write(group, rows, shelf, last.seq, tick, serving, commit)

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
        self._needs(Capability.SCAN, *_travel(as_of))
        stored = self._stored(group)
        catalogue.check_entity(group, entity)
        chosen = catalogue.chosen_columns(group, columns)
        asked = Asked(
            chosen,
            instants.micros_of(start),
            instants.micros_of(end),
            entity=entity or {},
            as_of=instants.micros_of(as_of),
        )
        rows = states.by_key(group, history.newest(group, self._shelf_of(stored), asked))
        return states.frame(group, rows, chosen)

    def commits(self, group: FeatureGroup) -> Sequence[Commit]:
        self._needs(Capability.TIME_TRAVEL)
        return history.commits(self._shelf_of(self._stored(group)).entries())

    def changes(
        self, group: FeatureGroup, commit: Commit, start: datetime | None = None, end: datetime | None = None
    ) -> pd.DataFrame:
        self._needs(Capability.TIME_TRAVEL)
        return history.changes(group, self._shelf_of(self._stored(group)), commit, start, end)

    def summary(self, group: FeatureGroup, entity: Mapping[str, str] | None = None) -> Summary:
        stored = self._stored(group)
        catalogue.check_entity(group, entity)
        return history.summary(group, self._shelf_of(stored), entity or {})

    def event_counts(self, group: FeatureGroup, edges: Sequence[int]) -> Sequence[int] | None:
        """How many newest rows have an event time, in microseconds, from each edge to before the next; None if it cannot tell."""
        counted = getattr(self._shelf_of(self._stored(group)), "event_counts", None)
        return None if counted is None else counted(edges)

    def day_hashes(
        self, group: FeatureGroup, commit: Commit | None, start: datetime | None, end: datetime | None
    ) -> DayHashes | None:
        """Days, rows and hashes of a commit's changes, or of the newest rows, by the store's own reckoning; None if it cannot.

        The hashes are those of ``btcfs.transfer.digests``.
        """
        return history.day_hashes(group, self._shelf_of(self._stored(group)), commit, start, end)

    def get_historical_features(
        self, view: FeatureView, spine: pd.DataFrame, *, as_of: datetime | None = None
    ) -> pd.DataFrame:
        self._needs(*_travel(as_of))
        stored = self._registered.stored()
        definitions = [each.definition for each in stored]
        catalogue.same(definitions, view)
        resolved = catalogue.resolve(definitions, view)
        known_at = instants.micros_of(as_of)
        by_group = {each.definition: each for each in stored if isinstance(each.definition, FeatureGroup)}
        if not self._options.scan:
            parts = [(by_group[group], self._shelf_of(by_group[group])) for group, _, _ in resolved.parts]
            return pushed.join(self._repository, resolved, spine, parts)

        def rows(group: FeatureGroup, columns: tuple[str, ...], end: datetime) -> pa.Table:
            newest = history.newest(
                group, self._shelf_of(by_group[group]), Asked(columns, end=instants.micros_of(end), as_of=known_at)
            )
            # Only without an interval may rows of one event time differ in their key, which then decides.
            return newest if group.interval else states.by_key(group, newest)

        return point_in_time.join(resolved, spine, rows)

    def get_online_features(self, view: FeatureView, keys: Sequence[Mapping[str, Any]]) -> list[FeatureVector]:
        self._needs(Capability.ONLINE)
        return self._vectors.get(view, keys)

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        self._needs(Capability.WRITE)
        with self._turns.exclusive():
            yield

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._repository.close()
        self._vectors.forget()
        self._shelves.clear()

    def __enter__(self) -> FeastStore:
        self._refuse_closed()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _write(
        self,
        group: FeatureGroup,
        rows: pd.DataFrame | Iterable[pd.DataFrame],
        shelf: Shelf,
        last: int,
        tick: Tick,
        serving: Serving | None,
        given: Commit | None,
    ) -> WriteReport:
        commit = given or Commit(f"{tick.seq:012d}-{uuid.uuid4().hex[:8]}", instants.from_micros(tick.at))
        at = instants.to_micros(commit.committed_at)
        draft = shelf.draft(tick.seq, commit.id, at)
        try:
            pending = Pending(group, shelf, draft, last)
            waiting = None if serving is None else serving.waiting()
            for frame in frames.chunks(group, rows):
                changed, replacing = pending.add(to_arrow(group, frame))
                if waiting is not None and changed.num_rows:
                    waiting.add(changed, replacing)
            if not pending.tally.changed:
                return pending.tally.report(group, None)
            entry = pending.tally.entry(tick.seq, commit.id, at)
            draft.publish(entry)
        finally:
            draft.discard()
        if serving is not None and waiting is not None:
            serving.publish(waiting, tick.seq, self._turns.tick(Tick(tick.seq, at)).at, first=last == 0)
        return pending.tally.report(group, entry)

    def _stored(self, group: FeatureGroup) -> Stored:
        """The group as it is stored. Errors are those of ``catalogue.same``."""
        self._refuse_closed()
        stored = self._registered.stored()
        found = catalogue.same([each.definition for each in stored], group)
        return next(each for each in stored if each.definition is found)

    def _shelf_of(self, stored: Stored) -> Shelf:
        if stored.foreign is not None:
            return ForeignTable(self._repository, stored.foreign, scan=self._options.scan)
        assert isinstance(stored.definition, FeatureGroup)
        return self._shelf(stored.definition, stored.identity)

    def _shelf(self, group: FeatureGroup, identity: str) -> Shelf:
        if self._factory is None:
            raise Unsupported(sources.why_not(self._repository, Capability.WRITE, scan=self._options.scan))
        if identity not in self._shelves:
            self._shelves[identity] = self._factory(group, identity)
        return self._shelves[identity]

    @contextmanager
    def _one_write(self) -> Iterator[None]:
        if self._writing:
            raise StoreBusy(
                f"a write to the repository {self._repository.root} is under way in this very thread; finish it, the "
                f"frames of its stream included, before the next"
            )
        self._writing = True
        try:
            yield
        finally:
            self._writing = False

    def _needs(self, *capabilities: Capability) -> None:
        self._refuse_closed()
        for capability in capabilities:
            if capability not in self.capabilities:
                raise Unsupported(sources.why_not(self._repository, capability, scan=self._options.scan))

    def _refuse_closed(self) -> None:
        if self._closed:
            raise StoreUnavailable(
                f"this store of the Feast repository {self._repository.root} is closed; open another with "
                f"btcfs.connect('feast', path=...)"
            )


def _travel(as_of: datetime | None) -> tuple[Capability, ...]:
    return () if as_of is None else (Capability.TIME_TRAVEL,)
