"""Candles as plain arrays: what indicators are computed from."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np
import pandas as pd

from btcfs import frames
from btcfs.errors import SchemaError
from btcfs.indicators import CANDLE_COLUMNS
from btcfs.instants import from_micros, to_micros
from btcfs.pipeline.plan import step_micros

if TYPE_CHECKING:
    Floats = np.ndarray[Any, np.dtype[np.float64]]
    Integers = np.ndarray[Any, np.dtype[np.int64]]


@attrs.frozen(eq=False)
class CandleArrays:
    """Candles of one market and one interval, ascending: one read-only contiguous array a column.

    ``timestamp`` is the open time in microseconds since 1970, ``step`` the interval in microseconds.
    Candles may be missing; those there are lie whole steps apart. The values are finite.
    SchemaError otherwise.
    """

    timestamp: Integers
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats
    step: int = attrs.field(kw_only=True)

    def __attrs_post_init__(self) -> None:
        for name, array in zip(("timestamp", *CANDLE_COLUMNS), self.columns, strict=True):
            dtype = "int64" if name == "timestamp" else "float64"
            if array.dtype != dtype or array.shape != self.timestamp.shape or array.ndim != 1:
                raise SchemaError(
                    f"candle column {name!r} is {array.dtype}{list(array.shape)}, expected {dtype}{list(self.timestamp.shape)}"
                )
            readonly = np.ascontiguousarray(array).view()
            readonly.flags.writeable = False
            object.__setattr__(self, name, readonly)

    @classmethod
    def from_frame(cls, frame: pd.DataFrame, interval: str) -> CandleArrays:
        """The candles of a frame with ``timestamp`` (zoned), ``open, high, low, close, volume``; other columns are ignored.

        Arrays are shared with the frame where its memory layout allows. SchemaError, naming column
        and time, for a missing or non-numeric column, a value that is not finite, or times that do
        not ascend in whole intervals.
        """
        missing = [name for name in ("timestamp", *CANDLE_COLUMNS) if name not in frame.columns]
        if missing:
            raise SchemaError(f"candles lack {', '.join(missing)}; expected timestamp, {', '.join(CANDLE_COLUMNS)}")
        timestamp = frames.micros(frame["timestamp"])
        candles = cls(timestamp, *(_floats(frame[name]) for name in CANDLE_COLUMNS), step=step_micros(interval))
        candles.check()
        return candles

    @classmethod
    def none(cls, interval: str) -> CandleArrays:
        """No candles at all."""
        return cls(np.empty(0, dtype="int64"), *(np.empty(0) for _ in CANDLE_COLUMNS), step=step_micros(interval))

    @property
    def columns(self) -> tuple[Any, ...]:
        """The arrays in the order of ``btcfs.indicators.INPUTS``."""
        return (self.timestamp, self.open, self.high, self.low, self.close, self.volume)

    def __len__(self) -> int:
        return len(self.timestamp)

    def rows(self, first: int, last: int) -> CandleArrays:
        """Rows ``first <= row < last``, sharing memory."""
        return CandleArrays(*(column[first:last] for column in self.columns), step=self.step)

    def since(self, timestamp: int) -> CandleArrays:
        """The candles that open at that microsecond or later, sharing memory."""
        return self.rows(int(np.searchsorted(self.timestamp, timestamp)), len(self))

    def between(self, start: datetime, end: datetime) -> CandleArrays:
        """The candles with ``start <= open time < end``, sharing memory."""
        first, last = np.searchsorted(self.timestamp, (to_micros(start), to_micros(end)))
        return self.rows(int(first), int(last))

    def followed_by(self, later: CandleArrays) -> CandleArrays:
        """These candles and then those. SchemaError unless they continue these on the same grid."""
        if self.step != later.step:
            raise SchemaError(f"candles of {later.step} µs cannot follow candles of {self.step} µs")
        if not len(self) or not len(later):
            return later if not len(self) else self
        gap = int(later.timestamp[0] - self.timestamp[-1])
        if gap <= 0 or gap % self.step:
            raise SchemaError(
                f"candles from {from_micros(later.timestamp[0])} cannot follow those until "
                f"{from_micros(self.timestamp[-1])}: expected later ones, whole intervals apart"
            )
        both = (np.concatenate(pair) for pair in zip(self.columns, later.columns, strict=True))
        return CandleArrays(*both, step=self.step)

    def check(self) -> None:
        """SchemaError, naming column and time, unless values are finite and times ascend on the grid."""
        for name, column in zip(CANDLE_COLUMNS, self.columns[1:], strict=True):
            finite = np.isfinite(column)
            if not finite.all():
                row = int(finite.argmin())
                raise SchemaError(
                    f"candle {from_micros(self.timestamp[row])} has {name} {column[row]}; an indicator would carry it on "
                    f"for ever, so every value must be finite"
                )
        gaps = np.diff(self.timestamp)
        wrong = (gaps <= 0) | (gaps % self.step != 0)
        if wrong.any():
            row = int(wrong.argmax())
            raise SchemaError(
                f"candle {from_micros(self.timestamp[row + 1])} follows {from_micros(self.timestamp[row])}; "
                f"expected ascending open times, whole intervals ({self.step // 1_000_000} s) apart"
            )


def _floats(column: pd.Series) -> Floats:
    if not pd.api.types.is_numeric_dtype(column.dtype) or pd.api.types.is_complex_dtype(column.dtype):
        raise SchemaError(f"candle column {column.name!r} has type {column.dtype}, expected numbers")
    return np.ascontiguousarray(column.to_numpy(dtype="float64", na_value=np.nan))
