"""Connections to the online file for readers of many threads: taken, given back, and never carried across a fork."""

from __future__ import annotations

import os
import sqlite3
import threading
import weakref
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import attrs

from btcfs.errors import StoreUnavailable
from btcfs_duckdb import online
from btcfs_duckdb.places import Places
from btcfs_duckdb.segments import Segment, damaged

Mark = tuple[int, int]
_COURTESY = 0.05  # seconds that a reader lets a fork go first


@attrs.define(eq=False)
class Generation:
    """One build of the online table as a reader sees it: its file, its open segments, and its mark in the pointer."""

    path: Path
    mark: Mark
    segments: dict[str, Segment] = attrs.field(factory=dict)
    idle: deque[sqlite3.Connection] = attrs.field(factory=deque)  # taken from and added to without a lock

    def segment(self, file: str, rows: int, width: int) -> Segment:
        """The segment of that name, open. FileNotFoundError if it was deleted since."""
        found = self.segments.get(file)
        if found is None:
            found = self.segments[file] = Segment(self.path.parent / file, rows, width)
        return found


class Readers:
    """Idle connections to the generation in use, opened as threads need them.

    SQLite's locks belong to a process: a connection that a child inherits by fork would make it
    believe in locks it has not. So all are closed before a fork, which waits for those in use.

    Who has a connection counts as long as it is not in ``Generation.idle``. Taking and giving back is one step of a
    deque, so the path of a vector meets no lock; a fork is announced by a flag, which is looked at after the step.
    """

    def __init__(self, places: Places, timeout: float) -> None:
        self._places = places
        self._timeout = timeout
        self._guard = threading.Lock()
        self._drained = threading.Condition(self._guard)
        self._forking = False
        self._opened = 0  # connections that a fork has to wait for, idle or not
        self._closed = False
        self._generation: Generation | None = None
        self._pointer = os.fspath(places.pointer)
        _close_before_fork(self)

    @contextmanager
    def using(self) -> Iterator[tuple[sqlite3.Connection, Generation]]:
        """A connection for the length of a with block."""
        connection, generation = self.take()
        try:
            yield connection, generation
        finally:
            self.give(connection, generation)

    @contextmanager
    def lent(self) -> Iterator[tuple[sqlite3.Connection, Generation]]:
        """The same for a writer, for whom a fork does not wait: it may be this thread that forks."""
        connection, generation = self.take()
        with self._guard:
            self._opened -= 1
        try:
            yield connection, generation
        finally:
            with self._guard:
                self._opened += 1
            self.give(connection, generation)

    def take(self) -> tuple[sqlite3.Connection, Generation]:
        """A connection to the generation that the pointer names now. StoreUnavailable if there is none."""
        mark = self._mark()
        while True:
            try:
                return self._take(mark)
            except StoreUnavailable:
                # Another generation may have come between looking at the pointer and opening its file.
                before, mark = mark, self._mark()
                if mark == before:
                    raise

    def take_again(self, generation: Generation) -> sqlite3.Connection | None:
        """An idle connection to the generation that was in use a moment ago, None if there is none."""
        if generation is not self._generation or self._forking:
            return None
        return popped(generation.idle)

    def give(self, connection: sqlite3.Connection, generation: Generation) -> None:
        generation.idle.append(connection)
        if self._forking or self._closed or generation is not self._generation:
            self._given_late(generation)

    def close(self) -> None:
        with self._guard:
            self._closed = True
            self._drop_idle(self._generation)
            self._generation = None

    def before_fork(self) -> None:
        self._guard.acquire()
        self._forking = True
        self._drop_idle(self._generation)
        while self._opened:
            self._drained.wait()
            self._drop_idle(self._generation)

    def after_fork(self) -> None:
        self._forking = False
        self._drained.notify_all()
        self._guard.release()

    def _given_late(self, generation: Generation) -> None:
        """Close what came back after its generation went, and wake a fork that waits for it."""
        with self._guard:
            if self._closed or generation is not self._generation:
                self._drop_idle(generation)
            if self._forking:
                self._drained.notify_all()

    def _mark(self) -> Mark:
        try:
            status = os.stat(self._pointer)
        except OSError as exc:
            raise _no_pointer(self._places, exc) from exc
        return status.st_mtime_ns, status.st_ino

    def _take(self, mark: Mark) -> tuple[sqlite3.Connection, Generation]:
        with self._guard:
            if self._forking:
                # Give those who have one the time to bring it back. Not for ever: they may need another first.
                self._drained.wait(_COURTESY)
            generation = self._generation
            if generation is None or generation.mark != mark:
                self._drop_idle(generation)
                generation = self._generation = Generation(current(self._places), mark)
            connection = popped(generation.idle)
            if connection is None:
                connection = online.connect(generation.path, self._timeout)
                self._opened += 1
        return connection, generation

    def _drop_idle(self, generation: Generation | None) -> None:
        while generation is not None and (connection := popped(generation.idle)) is not None:
            connection.close()
            self._opened -= 1


def popped(idle: deque[sqlite3.Connection]) -> sqlite3.Connection | None:
    """A connection out of these, None if another thread has the last."""
    try:
        return idle.pop()
    except IndexError:
        return None


def current(places: Places) -> Path:
    """The file of the generation in use. StoreUnavailable if none is."""
    try:
        name = places.pointer.read_text().strip()
    except OSError as exc:
        raise _no_pointer(places, exc) from exc
    path = places.root / name
    if not name.startswith("online-") or not path.exists():
        raise damaged(path)
    return path


def _no_pointer(places: Places, exc: OSError) -> StoreUnavailable:
    return StoreUnavailable(
        f"the store in {places.root} has no online table: {exc}. Run btcfs store rebuild-online, which builds it "
        f"from the offline tables"
    )


def _close_before_fork(readers: Readers) -> None:
    """Have the connections closed before each fork of this process, as long as the readers live."""
    if not hasattr(os, "register_at_fork"):
        return
    reference = weakref.ref(readers)

    def call(action: str) -> None:
        alive = reference()
        if alive is not None:
            getattr(alive, action)()

    os.register_at_fork(
        before=lambda: call("before_fork"),
        after_in_parent=lambda: call("after_fork"),
        after_in_child=lambda: call("after_fork"),
    )
