"""A number in shared memory that says whether anything was committed, at the cost of reading eight bytes."""

from __future__ import annotations

import mmap
from pathlib import Path

from btcfs.errors import StoreUnavailable

_BYTES = 8


class CommitCounter:
    """Counts the commits to the online file of a store for all processes of this machine.

    It is odd while a commit is under way, and after a crash until the next one: then what is read
    must be asked of the online file itself. Who read an even number, and reads it again, knows that
    no commit has returned in between.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._shared: memoryview | None = None

    def read(self) -> int:
        """The number now; odd if it says nothing."""
        shared = self._shared
        if shared is None:
            return 1 if not self._open() else self.read()
        number: int = shared[0]
        return number

    def begin(self) -> None:
        """Say that a commit is under way. StoreUnavailable if the file cannot be made."""
        if self._shared is None and not self._open():
            try:
                self._path.write_bytes(bytes(_BYTES))
            except OSError as exc:
                raise StoreUnavailable(f"cannot write {self._path}: {exc}. Make room and run the same again") from exc
            self._open()
        self._set((self.read() + 1) | 1)

    def end(self) -> None:
        """Say that it is done."""
        self._set(self.read() + 1 & ~1)

    def close(self) -> None:
        """Let go of the file; what is read then is odd until it is opened again."""
        self._shared = None

    def _set(self, number: int) -> None:
        assert self._shared is not None
        self._shared[0] = number

    def _open(self) -> bool:
        try:
            with self._path.open("r+b") as file:
                self._shared = memoryview(mmap.mmap(file.fileno(), _BYTES)).cast("q")
        except (OSError, ValueError):  # not there yet, or not whole yet
            return False
        return True
