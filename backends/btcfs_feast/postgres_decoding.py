"""The rows of Postgres's binary COPY format as Arrow, with the same bits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from btcfs.errors import StoreUnavailable
from btcfs_feast.postgres_encoding import EPOCH, FIXED, MISSING, Integers
from btcfs_feast.shelf import ARROW

Bytes = np.ndarray[Any, np.dtype[np.uint8]]


def decoded(rows: bytearray, lengths: Sequence[int], dtypes: Mapping[str, str]) -> pa.RecordBatch:
    """Rows of these columns, arranged as on the wire, one after another and of so many bytes each."""
    received = _Received(rows, lengths)
    arrays = []
    for dtype, kind in FIXED.items():
        names = [name for name, other in dtypes.items() if other == dtype]
        arrays += received.fixed(kind, names) if names else []
    arrays += [
        received.texts() if dtype == "string" else received.instants()
        for dtype in dtypes.values()
        if dtype not in FIXED
    ]
    if not received.ended:
        raise _other_shape()
    return pa.record_batch(arrays, list(dtypes))


def _other_shape() -> StoreUnavailable:
    return StoreUnavailable("Postgres sent rows in another shape than was asked for")


class _Received:
    """What is not yet taken of some rows, column by column.

    As long as the rows are alike, a column stands at the same place of each; from the first column on in which they
    differ, each row has its own.
    """

    def __init__(self, rows: bytearray, lengths: Sequence[int]) -> None:
        self._bytes: Bytes = np.frombuffer(rows, dtype="uint8")
        self._count = len(lengths)
        self._ends = np.cumsum(lengths)
        self._places = self._ends - lengths + 2  # the number of cells comes first
        self._stride = lengths[0] if min(lengths) == max(lengths) else 0

    @property
    def ended(self) -> bool:
        """Whether every byte was taken."""
        return bool((self._places == self._ends).all())

    def fixed(self, kind: np.dtype[Any], names: Sequence[str]) -> list[pa.Array]:
        """The next columns, all of one width. StoreUnavailable if a value is missing."""
        size, width = 4 + kind.itemsize, len(names)
        self._refuse_missing(self._ends - self._places < size * width, names, size)
        content, stride, start = self._bytes, self._stride, int(self._places[0])
        if not stride:
            stride, start = size * width, 0
            content = np.concatenate([content[place : place + stride] for place in self._places.tolist()])
        shape, strides = (self._count, width), (stride, size)
        lengths = np.ndarray(shape, ">i4", content.data, start, strides)
        self._refuse_missing((lengths != kind.itemsize).any(axis=1), names, size)
        values = np.empty((width, self._count), kind.newbyteorder("="))
        values[...] = np.ndarray(shape, kind, content.data, start + 4, strides).T
        self._places = self._places + size * width
        return [pa.array(column) for column in values]

    def _refuse_missing(self, rows: np.ndarray[Any, np.dtype[np.bool_]], names: Sequence[str], size: int) -> None:
        """StoreUnavailable if there are such rows, with the column that is missing in the first."""
        if not rows.any():
            return
        place = int(self._places[rows.argmax()])
        for number, name in enumerate(names):
            length = self._bytes[place + size * number : place + size * number + 4].tobytes()
            if int.from_bytes(length, "big", signed=True) == MISSING:
                raise StoreUnavailable(
                    f"a value of {name} is NULL in Postgres, which btcfs never writes; another client did"
                )
        raise _other_shape()

    def instants(self) -> pa.Array:
        lengths = self._lengths()
        missing = lengths < 0
        micros = np.zeros(len(lengths), dtype="int64")
        if missing.any():
            micros[~missing] = self._gathered(self._places[~missing], ">i8") + EPOCH
        else:
            micros[:] = self._numbers(">i8")
            micros += EPOCH
        self._places = self._places + np.maximum(lengths, 0)
        return pa.array(micros, mask=missing).cast(ARROW["timestamp"])

    def texts(self) -> pa.Array:
        lengths = self._lengths()
        sizes = np.maximum(lengths, 0)
        offsets = np.r_[0, np.cumsum(sizes)].astype("int32")
        content = self._bytes[np.repeat(self._places - offsets[:-1], sizes) + np.arange(offsets[-1])]
        self._places = self._places + sizes
        valid = pa.array(lengths >= 0).buffers()[1] if (lengths < 0).any() else None
        buffers = [valid, pa.py_buffer(offsets), pa.py_buffer(content.tobytes())]
        return pa.Array.from_buffers(pa.string(), len(lengths), buffers)

    def _lengths(self) -> Integers:
        found: Integers = self._numbers(">i4").astype("int64")
        self._places = self._places + 4
        if (found != found[0]).any():
            self._stride = 0
        return found

    def _numbers(self, kind: str) -> Any:
        if self._stride:
            return np.ndarray(self._count, kind, self._bytes.data, int(self._places[0]), (self._stride,))
        return self._gathered(self._places, kind)

    def _gathered(self, places: Any, kind: str) -> Any:
        taken = self._bytes[places[:, None] + np.arange(np.dtype(kind).itemsize)]
        return taken.view(kind)[:, 0]
