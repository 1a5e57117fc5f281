"""One file of the prediction spool: a line that says whose it is, and frames that show where a crash tore them."""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from btcfs import durable
from btcfs.errors import StoreBusy

Piece = tuple[int, bytearray]  # how many predictions, and these encoded one after another

_FRAME = struct.Struct("<III")  # a checksum of what follows it, predictions, bytes of them


class SpoolFile:
    """A file that this process holds the lock of. StoreBusy if another does, OSError as the system says."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._held = ExitStack()
        self._file = self._held.enter_context(durable.locked_file(path, 0))
        if not self._is_there():
            self._held.close()
            raise StoreBusy(f"another process has just removed {path}")

    def _is_there(self) -> bool:
        """Whether the file has its name still, which somebody who had the lock before may have taken from it."""
        try:
            return os.path.samestat(os.fstat(self._file.fileno()), self.path.stat())
        except FileNotFoundError:
            return False

    @property
    def size(self) -> int:
        return os.fstat(self._file.fileno()).st_size

    def content(self) -> bytes:
        self._file.seek(0)
        return self._file.read()

    def append(self, content: bytes) -> None:
        """All of it, on the disk when this returns; nothing of it if it raises."""
        descriptor, before = self._file.fileno(), self.size
        try:
            while content:  # without a buffer, which would try again at the end what a full disk refused
                content = content[os.write(descriptor, content) :]
            os.fsync(descriptor)
        except OSError:
            self.cut(before)
            raise

    def cut(self, size: int) -> None:
        os.ftruncate(self._file.fileno(), size)

    def release(self, *, remove: bool) -> None:
        """Let others have it, or nobody."""
        with self._held:
            if remove:
                self.path.unlink(missing_ok=True)


def framed(pieces: Sequence[Piece]) -> bytes:
    """The pieces as frames of a file."""
    return b"".join(map(_frame, pieces))


def unframed(content: bytes, at: int) -> tuple[list[Piece], int]:
    """The pieces of the frames from there on that are whole, and where the first that is not begins."""
    pieces: list[Piece] = []
    while at + _FRAME.size <= len(content):
        checksum, rows, size = _FRAME.unpack_from(content, at)
        end = at + _FRAME.size + size
        if end > len(content) or zlib.crc32(memoryview(content)[at + 4 : end]) != checksum:
            break
        pieces.append((rows, bytearray(content[at + _FRAME.size : end])))
        at = end
    return pieces, min(at, len(content))


def rows_of(pieces: Sequence[Piece]) -> int:
    """How many predictions they are."""
    return sum(rows for rows, _ in pieces)


def _frame(piece: Piece) -> bytes:
    rows, encoded = piece
    content = struct.pack("<II", rows, len(encoded)) + encoded
    return struct.pack("<I", zlib.crc32(content)) + content
