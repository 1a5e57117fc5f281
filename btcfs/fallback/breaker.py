"""Whether to ask again one who did not answer: at once, not yet, or once to see."""

from __future__ import annotations

import time
from collections.abc import Callable
from enum import Enum
from threading import Lock


class Leave(str, Enum):
    """What a breaker allows a call."""

    GO = "go"
    PROBE = "probe"  # one call, to see whether the other is back
    WAIT = "wait"


class Breaker:
    """Opens after some failures in a row; then one call may try again after a rest, which doubles while those fail.

    ``failures`` in a row open it; ``rest`` and ``longest`` are the first and the longest rest in seconds. A probe
    that has not answered after ``longest`` seconds counts as failed. Safe for threads.
    """

    def __init__(
        self, failures: int = 3, rest: float = 5.0, longest: float = 60.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.reason = ""
        self._allowed = failures
        self._first = rest
        self._longest = longest
        self._clock = clock
        self._lock = Lock()
        self._failed = 0
        self._rest = rest
        self._until: float | None = None
        self._probing = False
        self._probed = 0.0  # when the last probe began

    @property
    def state(self) -> str:
        """``closed`` (calls pass), ``open``, or ``half-open`` (a probe is under way, or is the next call)."""
        with self._lock:
            if self._until is None:
                return "closed"
            return "half-open" if self._probing or self._clock() >= self._until else "open"

    def leave(self) -> Leave:
        """What the next call may do. After PROBE the caller owes ``succeeded`` or ``failed``."""
        if self._until is None:
            return Leave.GO
        with self._lock:
            if self._until is None:
                return Leave.GO
            at = self._clock()
            if at < (self._probed + self._longest if self._probing else self._until):
                return Leave.WAIT
            self._probing, self._probed = True, at
            return Leave.PROBE

    def rested(self) -> None:
        """The next call may try, however short the rest was: somebody asked for it."""
        with self._lock:
            if self._until is not None and not self._probing:
                self._until = self._clock()

    def succeeded(self) -> None:
        """The other answered."""
        if self._until is None and not self._failed:
            return
        with self._lock:
            self._failed, self._rest, self._until, self._probing = 0, self._first, None, False

    def failed(self, reason: str, *, at_once: bool = False) -> None:
        """The other did not answer, and why; ``at_once`` opens without waiting for more failures."""
        with self._lock:
            self.reason = reason
            self._failed += 1
            if self._until is not None:
                if self._probing:
                    self._rest = min(self._rest * 2, self._longest)
                self._probing = False
                self._until = self._clock() + self._rest
            elif at_once or self._failed >= self._allowed:
                self._until = self._clock() + self._rest
