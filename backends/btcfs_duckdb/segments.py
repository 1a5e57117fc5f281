"""Immutable files of many online rows of one entity, ordered by time: what a bulk commit writes."""

from __future__ import annotations

import mmap
import os
import struct
from bisect import bisect_right
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np

from btcfs import durable
from btcfs.errors import StoreUnavailable
from btcfs_duckdb.payload import FLOAT, Flags, Floats, Integers, pack, row_size, whole

_MAGIC = b"btcfsseg"
_HEADER = struct.Struct("<8sqqI4x")  # magic, rows, width, checksum of the times


class Segment:
    """An open segment: its times ascending, and a row of bytes for each.

    It is mapped into memory, so that several processes share the pages that are in use.
    """

    def __init__(self, path: Path, rows: int, width: int) -> None:
        with path.open("rb") as file:
            expected = _HEADER.size + rows * (8 + row_size(width))
            if os.fstat(file.fileno()).st_size != expected:
                raise damaged(path)
            self.bytes = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        times_end = _HEADER.size + 8 * rows
        header = _HEADER.unpack_from(self.bytes)
        times = memoryview(self.bytes)[_HEADER.size : times_end]
        if header != (_MAGIC, rows, width, crc32(times)):
            raise damaged(path)
        self.path = path
        self._times: Any = times.cast("q")
        self.start = times_end
        self.row_bytes = row_size(width)
        self.body_bytes = 8 * width  # without the checksum
        self.first: int = self._times[0]
        self.last: int = self._times[-1]
        self._checked = bytearray(rows)
        # The same memory for many rows at once.
        self._instants: Integers = np.frombuffer(self._times, "<i8")
        # A row's numbers as one item: so numpy copies whole rows.
        self._bodies = np.ndarray(rows, np.dtype(f"V{8 * width}"), self.bytes, times_end, self.row_bytes)
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
        at = self.start + index * self.row_bytes
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
        at = self.start + index * self.row_bytes
        return self.bytes[at : at + self.row_bytes]


def write(path: Path, columns: Sequence[Any], times: Integers, event_times: Integers) -> None:
    """Write a segment and have it on the disk; times must ascend. StoreUnavailable if it cannot be written."""
    index = times.astype("<i8").tobytes()
    try:
        with path.open("xb") as file:
            file.write(_HEADER.pack(_MAGIC, len(times), len(columns), crc32(index)))
            file.write(index)
            file.write(pack(columns, times, event_times))
            durable.sync(file)
    except OSError as exc:
        path.unlink(missing_ok=True)
        raise StoreUnavailable(f"cannot write {path}: {exc}. Make room on the disk and run the same again") from exc


def all_of(flags: Flags) -> bool:
    """``flags.all()`` of a few hundred, in a fraction of the time."""
    return bool(np.count_nonzero(flags) == len(flags))


def damaged(path: Path) -> StoreUnavailable:
    return StoreUnavailable(
        f"the online table is damaged: {path} is not as it was written. Run btcfs store rebuild-online, "
        f"which builds it anew from the offline tables"
    )
