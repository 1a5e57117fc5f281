"""One online row: its entity as text, its numbers as little-endian float64, and a checksum over them and its times."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, TypeAlias
from zlib import crc32

import numpy as np

Integers: TypeAlias = np.ndarray[Any, np.dtype[np.int64]]
Bytes: TypeAlias = np.ndarray[Any, np.dtype[np.uint8]]
Floats: TypeAlias = np.ndarray[Any, np.dtype[np.float64]]
Flags: TypeAlias = np.ndarray[Any, np.dtype[np.bool_]]

FLOAT = np.dtype("<f8")
CHECK = 4  # bytes of the checksum at the end of a row
_BLOCK = 1_024  # rows made at once, so that they stay in the processor's cache
# The CRC-32 of any bytes followed by their own CRC-32 is this constant, whatever it starts from.
WHOLE = 0x2144DF1C


def entity_text(values: Sequence[str]) -> str:
    """An entity as one text; two entities never have the same."""
    return values[0] if len(values) == 1 else json.dumps(list(values), ensure_ascii=False)


def row_size(width: int) -> int:
    """Bytes of a row of so many numbers."""
    return 8 * width + CHECK


def pack(columns: Sequence[Any], times: Integers, event_times: Integers) -> memoryview:
    """The rows one after another, ``row_size`` bytes each; times are in microseconds."""
    width, count = len(columns), len(times)
    rows = np.empty(count, dtype=np.dtype([("values", FLOAT, (width,)), ("crc", "<u4")]))
    seeds = (times ^ event_times) & 0xFFFFFFFF
    for start in range(0, count, _BLOCK):
        block, span = rows[start : start + _BLOCK], slice(start, start + _BLOCK)
        values = block["values"]
        for index, column in enumerate(columns):
            values[:, index] = column[span]
        bodies = np.ndarray(len(block), f"V{8 * width}", block, 0, block.itemsize)
        block["crc"] = list(map(crc32, bodies.tolist(), seeds[span].tolist()))
    return memoryview(rows.view("u1").data) if count else memoryview(b"")


def from_rows(rows: bytes, width: int) -> Floats:
    """The numbers of rows that ``pack`` made, shape (rows, width), in memory of their own."""
    bodies = np.ndarray(len(rows) // row_size(width), np.dtype(f"V{8 * width}"), rows, 0, row_size(width))
    numbers: Floats = bodies.copy().view(FLOAT).reshape(-1, width)
    return numbers


def whole(row: bytes, time: int, event_time: int) -> bool:
    """Whether the bytes are those that were packed for these times."""
    return crc32(row, (time ^ event_time) & 0xFFFFFFFF) == WHOLE
