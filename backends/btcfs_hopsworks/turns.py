"""Whose turn it is to write: one thread of one process of this machine per project."""

from __future__ import annotations

import hashlib
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from btcfs import durable
from btcfs.turns import Turn


class Turns:
    """A lock that one thread may take several times, and that a lock file extends over processes.

    Writers on other machines are not kept out: Hopsworks has nothing to lock.
    """

    def __init__(self, place: tuple[Any, ...], title: str) -> None:
        digest = hashlib.blake2b(repr(place).encode(), digest_size=8).hexdigest()
        user = os.getuid() if hasattr(os, "getuid") else 0
        self.path = Path(tempfile.gettempdir()) / f"btcfs-hopsworks-{user}-{digest}.lock"
        self._title = title
        self._turn = Turn()

    @contextmanager
    def exclusive(self, seconds: float) -> Iterator[None]:
        """Hold the turn; StoreBusy if others do not finish within so many seconds."""
        until = time.monotonic() + seconds

        def locked() -> AbstractContextManager[None]:
            busy = f"another process writes to {self._title} (it holds {self.path}); wait for it, or raise lock_timeout"
            return durable.locked(self.path, until - time.monotonic(), busy)

        busy = f"another thread of this process writes to {self._title} and did not finish in {seconds:.3g} s"
        with self._turn.held(seconds, busy, locked):
            yield
