"""Candle rows as plain arrays, between the frames that come in and those that go out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs
import numpy as np
import pandas as pd

from btcfs.errors import SchemaError
from btcfs.frames import from_micros_array, micros
from btcfs.pipeline.rules import NUMBERS, Floats, Ints, Mask

QUOTE = "quote_volume"
NO_TIME = np.iinfo("int64").min  # how numpy writes NaT


@attrs.frozen(eq=False)
class Rows:
    """Open times in microseconds and float64 columns, all of one length."""

    times: Ints
    columns: Mapping[str, Floats]

    def __len__(self) -> int:
        return len(self.times)

    def where(self, mask: Mask) -> Rows:
        """The rows for which the mask is True; these rows themselves if it is True throughout."""
        if mask.all():
            return self
        return Rows(self.times[mask], {name: column[mask] for name, column in self.columns.items()})

    def row(self, position: int) -> dict[str, Any]:
        """One row's values by column, its time as ``timestamp``."""
        values = {name: float(column[position]) for name, column in self.columns.items()}
        return {"timestamp": int(self.times[position]), **values}

    def replaced(self, **columns: Floats) -> Rows:
        return Rows(self.times, {**self.columns, **columns})

    def frame(self) -> pd.DataFrame:
        """The rows as a candle frame."""
        return pd.DataFrame({"timestamp": from_micros_array(self.times), **self.columns}, copy=False)


def joined(first: Rows, second: Rows) -> Rows:
    """The rows of the first, then those of the second; the columns are those of the first."""
    columns = {name: np.concatenate([column, second.columns[name]]) for name, column in first.columns.items()}
    return Rows(np.concatenate([first.times, second.times]), columns)


def no_rows(quote: bool) -> Rows:
    """Nothing, with the columns of something."""
    names = (*NUMBERS, QUOTE) if quote else NUMBERS
    return Rows(np.zeros(0, dtype="int64"), {name: np.zeros(0) for name in names})


def read_rows(frame: pd.DataFrame, quote: bool) -> Rows:
    """The candle columns of a frame, with the quote volume (NaN if it lacks one) if that is wanted.

    SchemaError for a missing column, a naive time, or anything but numbers in a number's column.
    """
    missing = [name for name in ("timestamp", *NUMBERS) if name not in frame.columns]
    if missing:
        raise SchemaError(
            f"candles lack {', '.join(missing)}; expected the columns timestamp, {', '.join(NUMBERS)}, "
            f"have {', '.join(map(str, frame.columns)) or 'none'}"
        )
    columns = {name: _numbers(frame[name]) for name in NUMBERS}
    if quote:
        absent = np.full(len(frame), np.nan)
        columns[QUOTE] = _numbers(frame[QUOTE]) if QUOTE in frame.columns else absent
    return Rows(micros(frame["timestamp"]), columns)


def _numbers(column: pd.Series) -> Floats:
    kind = column.dtype
    if not pd.api.types.is_numeric_dtype(kind) or pd.api.types.is_bool_dtype(kind):
        example = repr(column.iloc[0]) if len(column) else "nothing"
        raise SchemaError(f"candle column {column.name!r} holds {kind} such as {example}, expected numbers")
    return np.ascontiguousarray(column.to_numpy(dtype="float64", na_value=np.nan))
