"""Doing on each of two stores what the journal says, in the order it was asked for."""

from __future__ import annotations

import logging
import os
from typing import Any

import attrs

from btcfs.definitions import FeatureGroup
from btcfs.errors import AuthError, BtcfsError, NotFound, SchemaError, StoreBusy, StoreUnavailable, Unsupported
from btcfs.fallback.journal import BOTH, MIRROR, PRIMARY, REFUSED, Entry, Journal
from btcfs.fallback.primary import NotAsked, Primary
from btcfs.fallback.spool import spooled
from btcfs.instants import from_micros, now, to_micros
from btcfs.store import Commit, FeatureStore, WriteReport

_log = logging.getLogger(__name__)

_LATER = (StoreUnavailable, StoreBusy, AuthError)  # what may be otherwise the next time


@attrs.frozen
class SyncReport:
    """What a run over the journal completed, what still waits and why, and what a store refuses for good."""

    completed: tuple[Entry, ...] = ()
    waiting: tuple[Entry, ...] = ()
    refused: tuple[Entry, ...] = ()
    reasons: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        lists = ("completed", "waiting", "refused")
        return {
            **{name: [entry.to_dict() for entry in getattr(self, name)] for name in lists},
            "reasons": list(self.reasons),
        }


class Sides:
    """The two stores, each asked to do an entry. Everything here is done in the journal's turn."""

    def __init__(self, primary: Primary, mirror: FeatureStore, journal: Journal) -> None:
        self._primary = primary
        self._mirror = mirror
        self._journal = journal

    def both(self, entry: Entry, *, fixed: bool = False) -> WriteReport | None:
        """Do a new entry on both sides, as far as they can be had; the rest stays in the journal.

        What the primary refuses is raised and forgotten. StoreUnavailable if neither side took it; the entry
        stays if it may have reached the primary. Unless the commit is ``fixed``, it moves behind newer ones.
        """
        earlier = [other for other in self._journal.entries() if other.number < entry.number]
        why, asked, report = _behind(PRIMARY, earlier), False, None
        if why is None:
            try:
                entry, report = self._first(PRIMARY, entry, fixed)
            except StoreUnavailable as exc:
                why, asked = str(exc), not isinstance(exc, NotAsked)
            except BtcfsError:
                self._journal.remove(entry)
                raise
        try:
            refusal = _behind(MIRROR, earlier)
            if refusal is not None:
                raise StoreUnavailable(refusal)
            if why is not None:
                entry, report = self._first(MIRROR, entry, fixed or asked)
            else:
                self._do(MIRROR, entry)
        except BtcfsError as exc:
            if why is None:
                self._journal.change(entry, state=MIRROR, why=_said(exc))
                _log.warning("%s is not mirrored yet: %s", entry.title, exc)
                return report
            if not asked:
                self._journal.remove(entry)
                raise
            self._journal.change(entry, state=BOTH, why=why)
            raise StoreUnavailable(
                f"{why}; the mirror did not take it either ({_said(exc)}). It is journal entry {entry.number} and will be "
                f"completed by the next write or btcfs store sync; doing it again is harmless"
            ) from exc
        if why is None:
            self._journal.remove(entry)
        else:
            self._journal.change(entry, state=PRIMARY, why=why)
            _log.warning("%s is in the mirror and not in %s yet: %s", entry.title, self._primary.name, why)
        return report

    def drain(self, *, again: bool = False) -> SyncReport:
        """Complete what can be completed, in order; what one side cannot have now waits there, and all after it.

        With ``again``, refused entries are tried once more, under a commit of their own time.
        """
        completed, waiting, refused = [], [], []
        blocked: dict[str, str] = {}
        self._journal.sweep()
        for entry in self._journal.entries():
            if entry.state == REFUSED:
                if not again:
                    refused.append(entry)
                    continue
                commit = None if entry.commit is None else self.commit_after()
                entry = self._journal.change(entry, state=BOTH, commit=commit)
            left, refusal = self._completed(entry, blocked)
            if refusal is not None:
                _log.error("%s is refused and put aside: %s", entry.title, refusal)
                refused.append(self._journal.change(entry, state=REFUSED, why=refusal))
            elif not left:
                self._journal.remove(entry)
                completed.append(entry)
            else:
                state = BOTH if len(left) == 2 else left[0]
                changed = (
                    entry if state == entry.state else self._journal.change(entry, state=state, why=blocked[left[0]])
                )
                waiting.append(changed)
        if completed:
            _log.info("completed %d journalled entries", len(completed))
        reasons = tuple(dict.fromkeys(f"{side}: {why}" for side, why in blocked.items()))
        return SyncReport(tuple(completed), tuple(waiting), tuple(refused), reasons)

    def commit_after(self, newest: Commit | None = None) -> Commit:
        """A commit of now, later than that one and than all that were given out here."""
        floor = 0 if newest is None else to_micros(newest.committed_at)
        micros = max(to_micros(now()), floor + 1, self._journal.last_time() + 1)
        self._journal.note_time(micros)
        return Commit(f"{micros:016x}-{os.urandom(4).hex()}", from_micros(micros))

    def _completed(self, entry: Entry, blocked: dict[str, str]) -> tuple[list[str], str | None]:
        """Where it is still to be done, and why a side will never take it."""
        left = []
        for side in entry.sides:
            if side in blocked:
                left.append(side)
                continue
            try:
                self._do(side, entry)
            except _LATER as exc:
                blocked[side] = _said(exc)
                left.append(side)
            except NotFound as exc:
                if entry.kind != "delete":
                    return left, f"{side}: {_said(exc)}"
            except BtcfsError as exc:
                return left, f"{side}: {_said(exc)}"
        return left, None

    def _first(self, side: str, entry: Entry, fixed: bool) -> tuple[Entry, WriteReport | None]:
        """Do it where nobody has it yet; a store whose clock runs ahead decides its time."""
        try:
            return entry, self._do(side, entry)
        except SchemaError:
            group, commit = entry.definition, entry.commit
            if fixed or commit is None or not isinstance(group, FeatureGroup):
                raise
            newest = self._newest(side, group)
            if newest is None or newest.committed_at < commit.committed_at:
                raise
            entry = self._journal.change(entry, commit=self.commit_after(newest))
            return entry, self._do(side, entry)

    def _newest(self, side: str, group: FeatureGroup) -> Commit | None:
        def asked(store: FeatureStore) -> Commit | None:
            try:
                return next(iter(list(store.commits(group))[-1:]), None)
            except Unsupported:
                return None

        return asked(self._mirror) if side == MIRROR else self._primary.ask("definitions", asked)

    def _do(self, side: str, entry: Entry) -> WriteReport | None:
        """Do it there; raises what that store raises. Doing it again changes nothing."""

        def on(store: FeatureStore) -> WriteReport | None:
            definition = entry.definition
            if entry.kind == "apply":
                store.apply(definition)
                return None
            if entry.kind == "delete":
                store.delete(definition, all_versions=entry.all_versions)
                return None
            assert isinstance(definition, FeatureGroup)
            rows = self._journal.rows_of(entry.number)
            return store.write(definition, spooled(rows), commit=entry.commit)

        return on(self._mirror) if side == MIRROR else self._primary.ask("writes", on)


def _behind(side: str, earlier: list[Entry]) -> str | None:
    """Why an entry must wait on that side: an earlier one is not there yet."""
    waiting = [entry for entry in earlier if side in entry.sides]
    return f"{len(waiting)} earlier entries wait for it, since {waiting[0].why or 'a crash'}" if waiting else None


def _said(exc: BaseException) -> str:
    return f"{type(exc).__name__}: {exc}"
