"""Whose turn it is to write: one thread of one process of this machine per project."""

from __future__ import annotations

import hashlib
import os
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from btcfs.errors import StoreBusy

_PAUSE = 0.01


class Turns:
    """A lock that one thread may take several times, and that a lock file extends over processes.

    Writers on other machines are not kept out: Hopsworks has nothing to lock.
    """

    def __init__(self, place: tuple[Any, ...], title: str) -> None:
        digest = hashlib.blake2b(repr(place).encode(), digest_size=8).hexdigest()
        user = os.getuid() if hasattr(os, "getuid") else 0
        self.path = Path(tempfile.gettempdir()) / f"btcfs-hopsworks-{user}-{digest}.lock"
        self._title = title
        self._thread = threading.RLock()
        self._depth = 0
        self._file: Any = None

    @contextmanager
    def exclusive(self, seconds: float) -> Iterator[None]:
        """Hold the turn; StoreBusy if others do not finish within so many seconds."""
        until = time.monotonic() + seconds
        if not self._thread.acquire(timeout=max(seconds, 0.0)):
            raise StoreBusy(
                f"another thread of this process writes to {self._title} and did not finish in {seconds:.3g} s"
            )
        try:
            if self._depth == 0:
                self._file = _locked(self.path, until, self._title)
            self._depth += 1
            try:
                yield
            finally:
                self._depth -= 1
                if self._depth == 0 and self._file is not None:
                    self._file.close()
                    self._file = None
        finally:
            self._thread.release()


def _locked(path: Path, until: float, title: str) -> Any:
    try:
        import fcntl
    except ImportError:  # Windows has no flock; there only the threads of one process take turns.
        return None
    file = path.open("a+")
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= until:
                file.close()
                raise StoreBusy(
                    f"another process writes to {title} (it holds {path}); wait for it, or raise lock_timeout"
                ) from None
            time.sleep(_PAUSE)
            continue
        return file
