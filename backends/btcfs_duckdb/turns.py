"""Whose turn it is at the offline file: one writer, or readers, each opening it no longer than needed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from btcfs.errors import StoreBusy
from btcfs.turns import Turn
from btcfs_duckdb import engine
from btcfs_duckdb.lock import StoreLock
from btcfs_duckdb.places import Places

_PATIENCE = 0.05  # seconds a reader waits before it looks whether a writer of its own store lets it in


class Turns:
    """DuckDB lets one process write a file, or several read it; this decides which, across processes and threads.

    A writer's turn may span several calls of its thread. Meanwhile the threads that share its store
    read through its connection, each in a transaction of its own, and need not wait.
    """

    def __init__(
        self,
        places: Places,
        timeout: float,
        in_step: Callable[[], bool],
        begin: Callable[[], None],
        end: Callable[[], None],
    ) -> None:
        self._places = places
        self._timeout = timeout
        self._in_step = in_step
        self._begin = begin
        self._end = end
        self._lock = StoreLock(places.lock, places.holder)
        self._turn = Turn()
        self._guard = threading.Condition(threading.Lock())
        self._connection: Any = None
        self._guests = 0

    @contextmanager
    def exclusive(self, timeout: float | None = None) -> Iterator[None]:
        """A writer's turn for the length of a with block; blocks of one thread nest. StoreBusy if others do not finish."""
        timeout = self._timeout if timeout is None else timeout
        deadline = time.monotonic() + timeout
        busy = (
            f"another thread of this process writes to the store in {self._places.root}, and still did after "
            f"{timeout:.3g} s. Try again later, or wait longer with lock_timeout"
        )
        with self._turn.held(timeout, busy, lambda: self._begun(deadline)):
            yield

    @contextmanager
    def writing(self) -> Iterator[Any]:
        """A connection to write with, inside ``exclusive``."""
        with engine.translated(self._places.offline):
            cursor = self._connection.cursor()
        try:
            yield cursor
        finally:
            cursor.close()

    @contextmanager
    def reading(self) -> Iterator[Any]:
        """A connection to read with: what was committed when its transaction began."""
        deadline = time.monotonic() + self._timeout
        settled = False
        while True:
            cursor = self._enter()
            if cursor is not None:
                try:
                    yield cursor
                finally:
                    self._leave(cursor)
                return
            with ExitStack() as stack:
                left = deadline - time.monotonic()
                try:
                    stack.enter_context(self._lock.shared(max(0.0, min(_PATIENCE, left))))
                except StoreBusy as exc:
                    if left <= _PATIENCE:
                        raise self._lock.busy(self._timeout) from exc
                    continue
                if settled or self._in_step():
                    with engine.opened(self._places.offline, read_only=True) as connection:
                        yield connection
                    return
            # A writer died, or the file was replaced: what is read offline must be there online too.
            with self.exclusive(max(0.0, deadline - time.monotonic())):
                settled = True

    def read_only_now(self) -> bool:
        """Whether no other process writes at this moment."""
        try:
            with self._lock.shared(0.0):
                return True
        except StoreBusy:
            return False

    @contextmanager
    def _begun(self, deadline: float) -> Iterator[None]:
        with self._lock.exclusive(max(0.0, deadline - time.monotonic())):
            self._begin()
            with self._opened():
                yield
            self._end()

    @contextmanager
    def _opened(self) -> Iterator[None]:
        with engine.opened(self._places.offline, read_only=False) as connection:
            with self._guard:
                self._connection = connection
            try:
                yield
            finally:
                with self._guard:
                    self._connection = None
                    while self._guests:
                        self._guard.wait()

    def _enter(self) -> Any:
        with self._guard:
            if self._connection is None:
                return None
            with engine.translated(self._places.offline):
                cursor = self._connection.cursor()
            self._guests += 1
            return cursor

    def _leave(self, cursor: Any) -> None:
        cursor.close()
        with self._guard:
            self._guests -= 1
            self._guard.notify_all()
