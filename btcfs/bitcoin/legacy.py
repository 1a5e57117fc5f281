"""Frames as people have them: other names for the columns, times as text, epoch or index."""

from __future__ import annotations

from typing import Any

import pandas as pd

from btcfs.definitions import TIME_KEY
from btcfs.errors import SchemaError
from btcfs.frames import TIMESTAMP, zoned
from btcfs.instants import parse_instant

# The guide's names, and those of common files, in lower case.
ALIASES = {
    "rsi": "rsi_14",
    "macd": "macd_12_26_9",
    "macd_signal": "macd_signal_12_26_9",
    "sma": "sma_20",
    "date": TIME_KEY,
    "datetime": TIME_KEY,
    "time": TIME_KEY,
    "open_time": TIME_KEY,
    "unix": TIME_KEY,
    "volume_btc": "volume",
    "volume btc": "volume",
}
METADATA = ("ingestion_time", "pipeline_version", "event_time", "symbol")
_EPOCHS = ((1e11, "s"), (1e14, "ms"), (1e17, "us"))


def renamed(frame: pd.DataFrame) -> pd.DataFrame:
    """A copy with the column names that btcfs uses. SchemaError if two columns would get one name.

    Of several columns that could be renamed to one, as ``unix`` and ``date``, the first is; the others keep their name.
    """
    if not isinstance(frame, pd.DataFrame):
        raise SchemaError(f"{type(frame).__name__} is no frame; expected a pandas DataFrame")
    plain = [str(column).strip().lower() for column in frame.columns]
    names, taken = [], set(plain)
    for name in plain:
        meant = ALIASES.get(name, name)
        names.append(name if meant in taken else meant)
        taken.add(meant)
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise SchemaError(f"more than one column of the frame means {', '.join(repeated)}; drop or rename one")
    out = frame.copy(deep=False)
    out.columns = pd.Index(names)
    if TIME_KEY not in out.columns and isinstance(out.index, pd.DatetimeIndex):
        out = out.assign(**{TIME_KEY: out.index})
    return out


def with_times(frame: pd.DataFrame) -> pd.DataFrame:
    """The same rows with ``timestamp`` in UTC, from zoned times, RFC 3339 texts, dates, or an epoch in s, ms or µs.

    SchemaError if there is no such column, for a time without a zone, and for a missing one: a row
    is never given the present instant.
    """
    if TIME_KEY not in frame.columns:
        raise SchemaError(f"the frame has no {TIME_KEY!r}; its columns are {', '.join(map(str, frame.columns))}")
    column = frame[TIME_KEY]
    times = _instants(column)
    if times.isna().any():
        row = int(times.isna().to_numpy().argmax())
        raise SchemaError(f"{TIME_KEY} of row {row} is missing; a row is never given the present instant instead")
    return frame.assign(**{TIME_KEY: times})


def _instants(column: pd.Series) -> pd.Series:
    if pd.api.types.is_numeric_dtype(column.dtype) and not pd.api.types.is_bool_dtype(column.dtype):
        size = float(column.abs().max()) if len(column) else 0.0
        unit = next((unit for bound, unit in _EPOCHS if size < bound), None)
        if unit is None:
            raise SchemaError(f"{TIME_KEY} {size:.0f} is no epoch in seconds, milliseconds or microseconds")
        return pd.to_datetime(column, unit=unit, utc=True).astype(TIMESTAMP)
    if isinstance(column.dtype, pd.DatetimeTZDtype):
        return column.dt.tz_convert("UTC").dt.as_unit("us")
    if pd.api.types.is_string_dtype(column.dtype) or column.dtype == object:
        values: list[Any] = [parse_instant(v) if isinstance(v, str) else v for v in column]
        return zoned(pd.Series(values, index=column.index, dtype=object, name=TIME_KEY), "the frame").set_axis(
            column.index
        )
    return zoned(column, "the frame")
