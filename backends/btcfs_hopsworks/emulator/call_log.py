"""The calls that reached the emulator, in order."""

from __future__ import annotations

import collections
import threading
import time

import attrs


@attrs.frozen
class Call:
    """One call: which plane (rest, flight, kafka, mysql, rdrs, job), what, how it ended and how long it took."""

    plane: str
    call: str
    status: int | None
    milliseconds: float
    received: int = 0
    """Bytes of the request body."""
    sent: int = 0
    """Bytes of the answer's body."""
    at: float = attrs.field(factory=time.time)


@attrs.define
class CallLog:
    """The newest calls; older ones are forgotten past ``size``."""

    size: int = 100_000
    _calls: collections.deque[Call] = attrs.field(init=False, repr=False)
    _lock: threading.Lock = attrs.field(factory=threading.Lock, repr=False)

    def __attrs_post_init__(self) -> None:
        self._calls = collections.deque(maxlen=self.size)

    def record(self, call: Call) -> None:
        with self._lock:
            self._calls.append(call)

    def calls(self, plane: str | None = None) -> tuple[Call, ...]:
        """The calls of one plane, or of all, oldest first."""
        with self._lock:
            return tuple(c for c in self._calls if plane in (None, c.plane))

    def clear(self) -> None:
        with self._lock:
            self._calls.clear()
