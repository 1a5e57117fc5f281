"""Who writes now: one thread of one process, and at which instant."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import attrs

from btcfs.errors import StoreBusy, StoreUnavailable
from btcfs.instants import now, to_micros
from btcfs.turns import Turn


@attrs.frozen
class Tick:
    """The number of a write and its instant in microseconds; both greater than any before."""

    seq: int
    at: int


class Turns:
    """The writer's place of the repositories that share a data folder, and their clock.

    It keeps out the processes that see this folder: Feast has no lock of its own, and none that all
    its stores share (feast-dev/feast, ``FeatureStore.apply``: "TODO: Add locking").
    """

    def __init__(self, folder: Path, timeout: float) -> None:
        self._folder = folder
        self._timeout = timeout
        self._turn = Turn()

    @property
    def mine(self) -> bool:
        """Whether the thread that asks has the writer's place."""
        return self._turn.mine

    @contextmanager
    def exclusive(self, timeout: float | None = None) -> Iterator[None]:
        """Hold the writer's place; blocks of one thread may nest. StoreBusy if others do not finish in time."""
        patience = self._timeout if timeout is None else timeout
        with self._turn.held(patience, self._busy(patience), lambda: closing(self._locked(patience))):
            yield

    def tick(self, after: Tick, given: int | None = None) -> Tick:
        """The next number, and the instant ``given`` or now; to be called in an exclusive block.

        ``after`` is what the group remembers of its newest write, in case the clock's file was lost.
        """
        path = self._folder / "clock"
        try:
            last = Tick(**json.loads(path.read_text()))
        except FileNotFoundError:
            last = Tick(0, 0)
        # A clock may stand still or step back; knowledge time may not.
        newest = max(last.at, after.at)
        at = max(to_micros(now()), newest + 1) if given is None else given
        tick = Tick(max(last.seq, after.seq) + 1, at)
        draft = path.with_suffix(".draft")
        draft.write_text(json.dumps(attrs.asdict(Tick(tick.seq, max(at, newest)))))
        os.replace(draft, path)
        return tick

    def _locked(self, timeout: float) -> sqlite3.Connection:
        path = self._folder / "writer.lock"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(path, timeout=timeout, isolation_level=None, check_same_thread=False)
        except (OSError, sqlite3.OperationalError) as exc:
            raise self._unusable(exc) from exc
        try:
            if not path.stat().st_size:
                # In an empty database even a lock writes, and leaves a journal when its holder is killed.
                connection.execute("PRAGMA user_version=1")
            connection.execute("BEGIN EXCLUSIVE")
        except sqlite3.DatabaseError as exc:
            connection.close()
            if "locked" in str(exc):
                raise StoreBusy(self._busy(timeout)) from exc
            raise self._unusable(exc) from exc
        return connection

    def _busy(self, timeout: float) -> str:
        return (
            f"another writer holds {self._folder / 'writer.lock'} and still did after {timeout:.3g} s. Try again later, "
            f"or wait longer with timeout=; the lock is free as soon as that process ends"
        )

    def _unusable(self, exc: Exception) -> StoreUnavailable:
        return StoreUnavailable(
            f"cannot lock {self._folder}: {exc}. The folder must be writable by this user, or name another with data="
        )
