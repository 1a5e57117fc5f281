"""Connections to the online file for readers of many threads: taken, given back, and never carried across a fork."""

from __future__ import annotations

import os
import sqlite3
import threading
import weakref
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
    """

    def __init__(self, places: Places, timeout: float) -> None:
        self._places = places
        self._timeout = timeout
        self._guard = threading.Lock()
        self._drained = threading.Condition(self._guard)
        self._forking = False
        self._idle: list[sqlite3.Connection] = []
        self._used = 0
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
            self._used -= 1
        try:
            yield connection, generation
        finally:
            with self._guard:
                self._used += 1
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
        with self._guard:
            if generation is not self._generation or not self._idle or self._forking:
                return None
            self._used += 1
            return self._idle.pop()

    def give(self, connection: sqlite3.Connection, generation: Generation) -> None:
        with self._guard:
            self._used -= 1
            if self._closed or generation is not self._generation:
                connection.close()
            else:
                self._idle.append(connection)
            if self._forking:
                self._drained.notify_all()

    def close(self) -> None:
        with self._guard:
            self._closed = True
            self._drop_idle()
            self._generation = None

    def before_fork(self) -> None:
        self._guard.acquire()
        self._forking = True
        while self._used:
            self._drained.wait()
        self._drop_idle()

    def after_fork(self) -> None:
        self._forking = False
        self._drained.notify_all()
        self._guard.release()

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
                self._drop_idle()
                generation = self._generation = Generation(current(self._places), mark)
            connection = self._idle.pop() if self._idle else online.connect(generation.path, self._timeout)
            self._used += 1
        return connection, generation

    def _drop_idle(self) -> None:
        for connection in self._idle:
            connection.close()
        self._idle.clear()


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
