"""A place that one thread holds at a time, as often as it likes, and that may be held across processes too."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from threading import RLock, get_ident

from btcfs.errors import StoreBusy


class Turn:
    """Who writes now, among the threads that share a store."""

    def __init__(self) -> None:
        self._thread = RLock()
        self._depth = 0
        self._owner: int | None = None

    @property
    def mine(self) -> bool:
        """Whether the thread that asks holds the place."""
        return self._owner == get_ident()

    @contextmanager
    def held(
        self, timeout: float, busy: str, outermost: Callable[[], AbstractContextManager[object]]
    ) -> Iterator[None]:
        """Hold the place; blocks of one thread nest, and the first of them holds ``outermost`` as well.

        StoreBusy, in the words of ``busy``, if another thread still has it after so many seconds.
        """
        if not self._thread.acquire(timeout=max(timeout, 0.0)):
            raise StoreBusy(busy)
        try:
            if self._depth:
                self._depth += 1
                try:
                    yield
                finally:
                    self._depth -= 1
                return
            with outermost():
                self._depth, self._owner = 1, get_ident()
                try:
                    yield
                finally:
                    self._depth, self._owner = 0, None
        finally:
            self._thread.release()
