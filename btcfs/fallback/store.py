"""A primary store and its local mirror as one ``FeatureStore``."""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from pathlib import Path
from threading import local
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from btcfs import catalogue
from btcfs.definitions import Definition, FeatureGroup, FeatureView
from btcfs.errors import NotFound, StoreBusy, StoreUnavailable
from btcfs.fallback.breaker import Breaker
from btcfs.fallback.completing import Sides, SyncReport
from btcfs.fallback.draining import Drain
from btcfs.fallback.journal import MIRROR, PRIMARY, Entry, Journal, Ref, refs_of
from btcfs.fallback.primary import Deadlines, Primary
from btcfs.instants import to_micros
from btcfs.store import Capability, Commit, FeatureStore, FeatureVector, Summary, WriteReport
from btcfs.turns import Turn

if TYPE_CHECKING:
    import pandas as pd

T = TypeVar("T")

_log = logging.getLogger(__name__)

# What a store may offer beyond the protocol.
_OF_THE_PRIMARY = (
    "native", "ui_url", "usage", "rebuild_online", "compute_statistics",
    "create_monitoring", "monitorings", "delete_monitoring",
    "other_groups", "read_other", "other_vector",
)  # fmt: skip


class FallbackStore:
    """Writes go to the primary and to the mirror, under one commit; reads are the mirror's while the primary is away.

    Only StoreUnavailable, a deadline missed among it, leads to the mirror; whatever else the primary raises is
    raised. A vector from the mirror has ``fallback_reason``, a frame has it in ``attrs`` beside
    ``feature_source`` and ``freshness``. What reached one side only is in the journal, and is completed by the next
    write or by ``sync``; until then, reads of those groups are answered by the side that has it.

    ``primary`` is the store, or a function that opens it, and may fail to at first. ``patience`` is how
    long a writer waits for another one, in seconds.
    """

    remote = True  # a call may take as long as its deadline

    def __init__(
        self,
        primary: FeatureStore | Callable[[], FeatureStore],
        mirror: FeatureStore,
        journal_path: str | Path,
        *,
        name: str | None = None,
        target: str | None = None,
        deadlines: Deadlines | None = None,
        breaker: Callable[[], Breaker] = Breaker,
        patience: float = 10.0,
    ) -> None:
        self.name: str = name or str(getattr(primary, "name", "primary"))
        self.mirror = mirror
        self.place = target or f"{self.name}, mirrored in {mirror.name}"  # which two stores this is
        self.journal = Journal(Path(journal_path), self.place)
        renewable = not isinstance(primary, FeatureStore)
        self.primary = Primary(self.name, _opener(primary), deadlines or Deadlines(), breaker, renewable=renewable)
        self._sides = Sides(self.primary, mirror, self.journal)
        self._patience = patience
        self._turn = Turn()
        self._held = local()
        self._drain = Drain(self.journal, self.primary, self._drained)
        self._closed = False
        try:
            self.primary.open()
        except StoreUnavailable as exc:
            _log.warning("%s cannot be opened now, %s answers: %s", self.name, mirror.name, exc)
        opened = self.primary.opened
        # What both can; the mirror's alone while the primary was not reached.
        self.capabilities = mirror.capabilities & (mirror if opened is None else opened).capabilities

    def apply(self, definition: FeatureGroup | FeatureView) -> None:
        with self._writing():
            away = self.primary.breakers["writes"].state == "open" or self.journal.missing(PRIMARY, refs_of(definition))
            if away and definition in self.mirror.definitions():
                return  # what the mirror has, the primary has or gets from the journal
            self._sides.both(self.journal.act("apply", definition))

    def definitions(self) -> Sequence[Definition]:
        return self._answered("definitions", None, lambda store: store.definitions())[0]

    def delete(self, definition: FeatureGroup | FeatureView, *, all_versions: bool = False) -> None:
        with self._writing():
            self._sides.both(self.journal.act("delete", definition, all_versions=all_versions))

    def write(
        self, group: FeatureGroup, rows: pd.DataFrame | Iterable[pd.DataFrame], *, commit: Commit | None = None
    ) -> WriteReport:
        with self._writing():
            self._bring(group)
            entry = self.journal.write(group, rows, commit or self._sides.commit_after())
            report = self._sides.both(entry, fixed=commit is not None)
            if commit is not None:
                self.journal.note_time(max(to_micros(commit.committed_at), self.journal.last_time()))
            assert report is not None
            return report

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
        def asked(store: FeatureStore) -> pd.DataFrame:
            return store.read(group, start, end, entity=entity, columns=columns, as_of=as_of)

        return self._framed([group.ref], asked)

    def commits(self, group: FeatureGroup) -> Sequence[Commit]:
        return self._answered("definitions", [group.ref], lambda store: store.commits(group))[0]

    def changes(
        self, group: FeatureGroup, commit: Commit, start: datetime | None = None, end: datetime | None = None
    ) -> pd.DataFrame:
        return self._framed([group.ref], lambda store: store.changes(group, commit, start, end))

    def summary(self, group: FeatureGroup, entity: Mapping[str, str] | None = None) -> Summary:
        return self._answered("definitions", [group.ref], lambda store: store.summary(group, entity))[0]

    def get_historical_features(
        self, view: FeatureView, spine: pd.DataFrame, *, as_of: datetime | None = None
    ) -> pd.DataFrame:
        return self._framed(view.groups, lambda store: store.get_historical_features(view, spine, as_of=as_of))

    def get_online_features(self, view: FeatureView, keys: Sequence[Mapping[str, Any]]) -> Sequence[FeatureVector]:
        vectors, reason = self._answered("vectors", view.groups, lambda store: store.get_online_features(view, keys))
        return (
            vectors
            if reason is None
            else [msgspec.structs.replace(vector, fallback_reason=reason) for vector in vectors]
        )

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        self._opened()
        with self._alone():
            if getattr(self._held, "primary", False):
                yield
                return
            self._held.primary = True
            try:
                with self.primary.exclusive():
                    yield
            finally:
                self._held.primary = False

    def sync(self, *, again: bool = False) -> SyncReport:
        """Complete the journal now; with ``again``, what was refused too. It says what could not be done, and why."""
        self._opened()
        with self._alone():
            for breaker in self.primary.breakers.values():
                breaker.rested()
            return self._sides.drain(again=again)

    def pending(self) -> list[Entry]:
        """What is in the journal: on its way, waiting or refused."""
        return self.journal.entries()

    def circuits(self) -> dict[str, str]:
        """The state of the breaker of each kind of call: ``closed``, ``open`` or ``half-open``."""
        return {lane: breaker.state for lane, breaker in self.primary.breakers.items()}

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self.primary.close()
            self.mirror.close()

    def __enter__(self) -> FallbackStore:
        self._opened()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __getattr__(self, name: str) -> Any:
        """What the primary offers beyond the protocol, if it does."""
        primary = self.__dict__.get("primary")
        opened = None if primary is None else primary.opened
        if name == "change_token" and hasattr(opened, name) and hasattr(self.mirror, name):
            return self._change_token
        if name in _OF_THE_PRIMARY and hasattr(opened, name):
            return getattr(opened, name)
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def _change_token(self, groups: Sequence[tuple[str, int]]) -> Hashable:
        """A value that differs after any change on either side."""
        self._opened()
        # Beyond the protocol: __getattr__ saw that both have it, but the primary may be gone since.
        mirror: Any = self.mirror
        primary: Any = self.primary.opened
        mirrored = mirror.change_token(groups)
        try:
            return primary.change_token(groups), mirrored
        except (StoreUnavailable, AttributeError):
            return object()  # like no other: nothing is taken from a cache

    def _framed(self, refs: Sequence[Ref], asked: Callable[[FeatureStore], pd.DataFrame]) -> pd.DataFrame:
        frame, reason = self._answered("frames", refs, asked)
        frame.attrs["feature_source"] = self.name if reason is None else self.mirror.name
        if reason is not None:
            frame.attrs["fallback_reason"] = reason
            frame.attrs["freshness"] = self._freshness(refs)
        return frame

    def _freshness(self, refs: Sequence[Ref]) -> str | None:
        """When the mirror's newest commit to these groups was made; None where it keeps no commits."""
        if Capability.TIME_TRAVEL not in self.mirror.capabilities:
            return None
        groups = [d for d in self.mirror.definitions() if isinstance(d, FeatureGroup) and d.ref in refs]
        times = [commit.committed_at for group in groups for commit in list(self.mirror.commits(group))[-1:]]
        return max(times).isoformat() if times else None

    def _answered(
        self, lane: str, refs: Sequence[Ref] | None, call: Callable[[FeatureStore], T]
    ) -> tuple[T, str | None]:
        """The answer, and why it is the mirror's if it is."""
        self._opened()
        missing = self.journal.missing(PRIMARY, refs)
        self._drain.begin()
        if missing:
            reason = f"{self.name} lacks journal entry {missing[0].title}: {missing[0].why}"
        else:
            hedged: list[str] = []

            def hedge() -> T:
                answer = self._mirrored(refs, call, "")
                hedged.append(f"{self.name} had not answered after {self.primary.deadlines.hedge:g} s")
                return answer

            try:
                answer = self.primary.ask(lane, call, hedged=hedge if lane == "vectors" else None)
                return answer, self._with_gaps(hedged[0], refs) if hedged else None
            except StoreUnavailable as exc:
                self._opened()
                reason = str(exc)
        return self._mirrored(refs, call, reason), self._with_gaps(reason, refs)

    def _mirrored(self, refs: Sequence[Ref] | None, call: Callable[[FeatureStore], T], reason: str) -> T:
        try:
            return call(self.mirror)
        except StoreUnavailable as exc:
            raise StoreUnavailable(f"{reason}; the mirror cannot answer either: {exc}") from exc
        except NotFound as exc:
            known = {d.ref for d in self.mirror.definitions() if isinstance(d, FeatureGroup)}
            if known.issuperset(refs or ()) and not self.journal.missing(MIRROR, refs):
                raise
            raise StoreUnavailable(f"{reason}; the mirror may lack what was asked for: {exc}") from exc

    def _with_gaps(self, reason: str, refs: Sequence[Ref] | None) -> str:
        gaps = self.journal.missing(MIRROR, refs)
        if not gaps:
            return reason
        return f"{reason}; the mirror is behind by {len(gaps)} entries since {gaps[0].began.isoformat()}"

    def _alone(self) -> AbstractContextManager[None]:
        """The writer's place among all that share the journal; blocks of one thread nest."""
        busy = f"another thread writes to this store, and still did after {self._patience:g} s"
        return self._turn.held(self._patience, busy, lambda: self.journal.turn(self._patience))

    def _drained(self) -> None:
        with self._alone():
            self._sides.drain()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        self._opened()
        with self._alone():
            self._sides.drain()
            yield

    def _bring(self, group: FeatureGroup) -> None:
        """See that the mirror has the group. Errors are those of ``write`` for a group that is not applied."""
        try:
            catalogue.same(self.mirror.definitions(), group)
        except (StoreBusy, StoreUnavailable):
            return  # then the primary says whether it has the group, and the mirror gets it from the journal
        except NotFound:
            stored = self.primary.ask("definitions", lambda store: store.definitions())
            self.mirror.apply(catalogue.same(stored, group))

    def _opened(self) -> None:
        if self._closed:
            raise StoreUnavailable(f"this store of {self.name} and its mirror is closed; open another")


def _opener(primary: FeatureStore | Callable[[], FeatureStore]) -> Callable[[], FeatureStore]:
    if isinstance(primary, FeatureStore):
        store: FeatureStore = primary
        return lambda: store
    return primary
