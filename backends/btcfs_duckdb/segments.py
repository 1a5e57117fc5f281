"""Immutable files of many online rows of one entity, ordered by time: what a bulk commit writes."""

from __future__ import annotations

import mmap
import os
import struct
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np

from btcfs import durable
from btcfs.errors import StoreUnavailable
from btcfs_duckdb.payload import FLOAT, Flags, Floats, Integers, pack, row_size, whole

# A file is the rows, then their times from a multiple of eight bytes on, then this.
_FOOTER = struct.Struct("<8sqqI4x")  # magic, rows, width, checksum of the times
_MAGIC = b"btcfsseg"


class Segment:
    """An open segment: its times ascending, and a row of bytes for each.

    It is mapped into memory, so that several processes share the pages that are in use.
    """

    def __init__(self, path: Path, rows: int, width: int) -> None:
        times_start = _times_start(rows, width)
        times_end = times_start + 8 * rows
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_size != times_end + _FOOTER.size:
                raise damaged(path)
            self.bytes = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        footer = _FOOTER.unpack_from(self.bytes, times_end)
        times = memoryview(self.bytes)[times_start:times_end]
        if footer != (_MAGIC, rows, width, crc32(times)):
            raise damaged(path)
        self.path = path
        self._times: Any = times.cast("q")
        self.row_bytes = row_size(width)
        self.body_bytes = 8 * width  # without the checksum
        self.first: int = self._times[0]
        self.last: int = self._times[-1]
        self._checked = bytearray(rows)
        # The same memory for many rows at once.
        self._instants: Integers = np.frombuffer(self._times, "<i8")
        # A row's numbers as one item: so numpy copies whole rows.
        self._bodies = np.ndarray(rows, np.dtype(f"V{8 * width}"), self.bytes, 0, self.row_bytes)
        self._whole = np.frombuffer(self._checked, "?")

    def __len__(self) -> int:
        return len(self._checked)

    def newest(self, time: int) -> int:
        """The index of the last row whose time is not after this one, -1 if there is none."""
        return bisect_right(self._times, time) - 1

    def time(self, index: int) -> int:
        return int(self._times[index])

    def at(self, time: int, step: int) -> bytes | None:
        """The row of that time; None if there is none, or if it is damaged.

        Each is checked once after the file was opened, as a database does when a page comes into its memory.
        """
        index = (time - self.first) // step  # its place where no candle is missing before it
        if not 0 <= index < len(self._checked) or self._times[index] != time:
            index = self.index(time)
            if index < 0:
                return None
        at = index * self.row_bytes
        row = self.bytes[at : at + self.row_bytes]
        if not self._checked[index]:
            if not whole(row, time, time + step):
                return None
            self._checked[index] = 1
        return row

    def gather(self, times: Integers, step: int) -> Floats | None:
        """The rows of these times, none of them before the first, as numbers; None as ``at`` says, if one is."""
        index = np.minimum((times - self.first) // step, len(self._checked) - 1)
        if not all_of(self._instants[index] == times):
            index = np.searchsorted(self._instants, times)
            if index.max() == len(self._checked) or not all_of(self._instants[index] == times):
                return None
        checked = self._whole[index]
        if not all_of(checked) and None in [self.at(time, step) for time in times[~checked].tolist()]:
            return None
        found: Floats = self._bodies[index].view(FLOAT).reshape(len(times), -1)
        return found

    def index(self, time: int) -> int:
        """The index of the row of that time, whole or not; -1 if there is none."""
        index = self.newest(time)
        return index if index >= 0 and self._times[index] == time else -1

    def regular(self, step: int) -> bool:
        """Whether no candle is missing from the first to the last."""
        return bool((np.diff(self._instants) == step).all())

    def row(self, index: int) -> bytes:
        at = index * self.row_bytes
        return self.bytes[at : at + self.row_bytes]


class Growing:
    """A segment that is being written, with times that ascend. StoreUnavailable if there is no room for it."""

    def __init__(self, path: Path, width: int, first: int) -> None:
        self.path = path
        self.first = self.last = first
        self.rows = 0
        self._width = width
        self._times: list[bytes] = []
        with self._refused():
            self._file = path.open("xb")

    def add(self, columns: Sequence[Any], times: Integers, event_times: Integers) -> None:
        with self._refused():
            self._file.write(pack(columns, times, event_times))
        self._times.append(times.astype("<i8").tobytes())
        self.rows += len(times)
        self.last = int(times[-1])

    def finish(self) -> None:
        """Have it all on the disk."""
        times = b"".join(self._times)
        padding = bytes(_times_start(self.rows, self._width) - self.rows * row_size(self._width))
        with self._refused():
            self._file.write(padding + times + _FOOTER.pack(_MAGIC, self.rows, self._width, crc32(times)))
            durable.sync(self._file)
            self._file.close()

    def discard(self) -> None:
        """Leave nothing of it."""
        with suppress(OSError):  # closing writes, for which a full disk has no room; the file goes anyway
            self._file.close()
        self.path.unlink(missing_ok=True)

    @contextmanager
    def _refused(self) -> Iterator[None]:
        try:
            yield
        except OSError as exc:
            raise StoreUnavailable(
                f"cannot write {self.path}: {exc}. Make room on the disk and run the same again"
            ) from exc


def _times_start(rows: int, width: int) -> int:
    return -(-rows * row_size(width) // 8) * 8


def all_of(flags: Flags) -> bool:
    """``flags.all()`` of a few hundred, in a fraction of the time."""
    return bool(np.count_nonzero(flags) == len(flags))


def damaged(path: Path) -> StoreUnavailable:
    return StoreUnavailable(
        f"the online table is damaged: {path} is not as it was written. Run btcfs store rebuild-online, "
        f"which builds it anew from the offline tables"
    )
