"""A number in a small file, mapped into memory, by which readers see without asking that nothing was committed."""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_NUMBER = struct.Struct("<Q")


class Counter:
    """The number of one store; even while nothing is being committed.

    A commit makes it odd first and even again afterwards. So one even number, before and after,
    means that nothing was committed in between. A writer that dies leaves it odd, and readers have
    to ask the online file until the next commit. Writers take turns by other means.
    """

    def __init__(self, root: Path) -> None:
        self._path = root / "changes.count"
        self._map: mmap.mmap | None = None

    def quiet(self) -> int | None:
        """The number if nothing is being committed, else None."""
        number = self._number()
        return None if number % 2 else number

    @contextmanager
    def committing(self) -> Iterator[None]:
        """To be held while something becomes visible."""
        number = self._number()
        odd = number + (2 if number % 2 else 1)
        self._set(odd)
        try:
            yield
        finally:
            self._set(odd + 1)

    def renew(self) -> None:
        """Map the file again, which may be another one by now; a thread that reads the old one is not disturbed."""
        self._mapped()

    def _number(self) -> int:
        held = self._map or self._mapped()
        return int(_NUMBER.unpack_from(held)[0])

    def _set(self, number: int) -> None:
        _NUMBER.pack_into(self._map or self._mapped(), 0, number)

    def _mapped(self) -> mmap.mmap:
        with self._path.open("ab") as made:
            if made.tell() < _NUMBER.size:
                made.truncate(_NUMBER.size)
        with self._path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), _NUMBER.size)
        return self._map
