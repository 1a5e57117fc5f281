"""Files that are whole after any crash, and a lock that the system frees when its process dies."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from btcfs.errors import StoreBusy

_PAUSE = 0.01  # seconds between two looks at a lock that another process holds


def replace(path: Path, content: bytes) -> None:
    """The file with this content, on the disk when this returns; whoever reads sees the old content or the new one."""
    new = path.with_name(f"{path.name}.new")
    write(new, content)
    os.replace(new, path)
    sync_folder(path.parent)


def write(path: Path, content: bytes) -> None:
    """The file, on the disk when this returns."""
    with path.open("wb") as file:
        file.write(content)
        sync(file)


def sync(file: IO[bytes]) -> None:
    """What was written to the file, on the disk when this returns."""
    file.flush()
    os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """The names in a folder, on the disk when this returns."""
    if sys.platform == "win32":  # which cannot open a folder, and needs no such call
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def locked(path: Path, patience: float, busy: str | None = None) -> Iterator[None]:
    """Hold the lock of that file, which is created; StoreBusy after so many seconds of waiting. It does not nest.

    The system frees it if the process dies. ``busy`` is what the StoreBusy says instead of its own words.
    """
    with locked_file(path, patience, busy):
        yield


@contextmanager
def locked_file(path: Path, patience: float, busy: str | None = None) -> Iterator[IO[bytes]]:
    """The same, and the file itself, to be read and to be written at its end."""
    deadline = time.monotonic() + patience
    with path.open("a+b") as file:
        while True:
            try:
                _lock(file)
                break
            except (BlockingIOError, PermissionError) as exc:
                if time.monotonic() >= deadline:
                    raise StoreBusy(
                        busy
                        or f"another process or thread holds {path}, and still did after {patience:.3g} s; try again later"
                    ) from exc
                time.sleep(_PAUSE)
        try:
            yield file
        finally:
            _unlock(file)


if sys.platform == "win32":
    import msvcrt

    def _lock(file: IO[bytes]) -> None:
        file.seek(0)
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)

    def _unlock(file: IO[bytes]) -> None:
        file.seek(0)
        msvcrt.locking(file.fileno(), msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def _lock(file: IO[bytes]) -> None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _unlock(file: IO[bytes]) -> None:
        fcntl.flock(file, fcntl.LOCK_UN)
