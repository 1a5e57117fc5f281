"""Does this data frame fit this feature group, and in which exact columns and types?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from types import NoneType
from typing import Any

import numpy as np
import pandas as pd

from btcfs.definitions import TIME_KEY, FeatureGroup
from btcfs.errors import SchemaError
from btcfs.instants import from_micros, now, to_micros

TIMESTAMP = pd.DatetimeTZDtype("us", "UTC")
_NEGATIVE_ZERO = np.iinfo(np.int64).min  # the bits of -0.0
_PANDAS = {"float64": "float64", "int64": "int64", "bool": "bool", "string": "object", "timestamp": TIMESTAMP}


def conform(group: FeatureGroup, rows: pd.DataFrame, *, at: datetime | None = None) -> pd.DataFrame:
    """The same rows with exactly the group's columns, order and types, on a fresh range index.

    The input is not changed; numbers are not copied where their type fits, so the result is for
    reading only. A missing event time is filled in where the group has an interval.
    Of the two zeros -0.0 comes out as 0.0, for some stores drop its sign and none may differ.
    Timestamps come out as ``datetime64[us, UTC]``, strings as objects with None for missing.
    SchemaError, naming the column and a value, for a missing or unknown column, another type,
    a lossy cast, a naive time, an infinite or forbidden missing value, a repeated key, a time off
    its interval's rule, or a row whose event time lies after ``at`` (default: now).
    """
    if not rows.columns.is_unique:
        repeated = sorted({str(name) for name in rows.columns[rows.columns.duplicated()]})
        raise SchemaError(f"rows for {group.title} have more than one column named {', '.join(repeated)}")
    rows = _with_event_time(group, rows)
    missing = [name for name in group.columns if name not in rows.columns]
    unknown = [str(name) for name in rows.columns if name not in group.columns]
    if missing or unknown:
        parts = [f"lack {', '.join(missing)}"] * bool(missing) + [f"have unknown {', '.join(unknown)}"] * bool(unknown)
        raise SchemaError(
            f"rows for {group.title} {' and '.join(parts)}; expected the columns {', '.join(group.columns)}"
        )
    columns = {name: _cast(group, name, rows[name]) for name in group.columns}
    frame = pd.DataFrame(columns, copy=False)
    _check_keys(group, frame)
    _check_event_times(group, frame, at or now())
    return frame


def chunks(group: FeatureGroup, rows: pd.DataFrame | Iterable[pd.DataFrame]) -> Iterator[pd.DataFrame]:
    """Conformed frames, one for each frame given; a single frame is a stream of one."""
    for part in [rows] if isinstance(rows, pd.DataFrame) else rows:
        yield conform(group, part)


def empty(group: FeatureGroup) -> pd.DataFrame:
    """A frame of the group's columns and types without a row."""
    return pd.DataFrame({name: pd.Series([], dtype=_PANDAS[dtype]) for name, dtype in group.dtypes.items()})


def to_records(group: FeatureGroup, frame: pd.DataFrame) -> list[tuple[Any, ...]]:
    """One tuple of plain Python values per row of a conformed frame, in the order of ``group.columns``.

    Times are microseconds since the epoch; a missing string or time is None.
    """
    columns = [_plain(dtype, frame[name]) for name, dtype in group.dtypes.items()]
    return list(zip(*columns, strict=True))


def from_records(group: FeatureGroup, records: Sequence[tuple[Any, ...]]) -> pd.DataFrame:
    """The frame, as ``conform`` would give it, whose ``to_records`` are these."""
    columns = list(zip(*records, strict=True)) or [()] * len(group.columns)
    pairs = zip(group.dtypes.items(), columns, strict=True)
    return pd.DataFrame({name: _typed(dtype, values) for (name, dtype), values in pairs})


def zoned(column: pd.Series, where: str) -> pd.Series:
    """The column with a zoned timestamp type, whichever way its zoned times are held.

    SchemaError, naming ``where``, for naive times and for what is no time.
    """
    if isinstance(column.dtype, pd.DatetimeTZDtype):
        return column
    if len(column) == 0:
        return pd.Series([], dtype=TIMESTAMP, name=column.name)
    if isinstance(column.dtype, pd.ArrowDtype) and getattr(column.dtype.pyarrow_dtype, "tz", None):
        return column.astype(pd.DatetimeTZDtype(column.dtype.pyarrow_dtype.unit, "UTC"))
    if column.dtype != object:
        raise SchemaError(
            f"{where}: column {column.name!r} has type {column.dtype}, expected timestamps with a time zone; "
            f"naive times are not guessed: use pd.to_datetime(..., utc=True)"
        )
    text = next((value for value in column if isinstance(value, str)), None)
    if text is not None:
        raise SchemaError(
            f"{where}: column {column.name!r} holds the text {text!r}, expected timestamps with a time zone"
        )
    values = [None if value is None or value is pd.NaT else from_micros(to_micros(value)) for value in column]
    return pd.Series(values, dtype=TIMESTAMP, name=column.name)


def between(group: FeatureGroup, frame: pd.DataFrame, start: datetime | None, end: datetime | None) -> pd.DataFrame:
    """The rows of a conformed frame with ``start <= event_time < end``, None being no bound; on a fresh range index."""
    if start is None and end is None:
        return frame
    times = micros(frame[group.event_time])
    kept = np.ones(len(frame), dtype=bool)
    if start is not None:
        kept &= times >= to_micros(start)
    if end is not None:
        kept &= times < to_micros(end)
    return frame if kept.all() else frame[kept].reset_index(drop=True)


def micros(column: pd.Series) -> np.ndarray[Any, np.dtype[np.int64]]:
    """A zoned timestamp column as int64 microseconds since the epoch; finer digits are cut off, not rounded."""
    if not isinstance(column.dtype, pd.DatetimeTZDtype):
        raise SchemaError(f"column {column.name!r} has type {column.dtype}, expected timestamps with a time zone")
    naive = column.dt.tz_convert("UTC").dt.as_unit("us").dt.tz_localize(None)
    return np.asarray(naive.to_numpy().view("int64"))


def from_micros_array(values: np.ndarray[Any, Any]) -> pd.Series:
    """int64 microseconds since the epoch as a ``datetime64[us, UTC]`` column."""
    return pd.Series(np.asarray(values, dtype="int64").view("M8[us]")).dt.tz_localize("UTC")


def _plain(dtype: str, column: pd.Series) -> list[Any]:
    if dtype != "timestamp":
        return list(column.tolist())
    missing = column.isna().tolist()
    return [None if absent else int(value) for absent, value in zip(missing, micros(column), strict=True)]


def _typed(dtype: str, values: Sequence[Any]) -> pd.Series:
    if dtype == "timestamp":
        return pd.Series(np.array(values, dtype="M8[us]")).dt.tz_localize("UTC")
    return pd.Series(values, dtype=_PANDAS[dtype])


def _with_event_time(group: FeatureGroup, rows: pd.DataFrame) -> pd.DataFrame:
    step = group.step
    if step is None or group.event_time in rows.columns or TIME_KEY not in rows.columns:
        return rows
    # As an array: a series would be aligned with the index of the rows, which says nothing here.
    return rows.assign(**{group.event_time: (_timestamps(group, rows[TIME_KEY]) + step).array})


def _cast(group: FeatureGroup, name: str, column: pd.Series) -> Any:
    dtype = group.dtypes[name]
    required = name in group.primary_key or name == group.event_time or dtype in ("int64", "bool")
    if dtype == "timestamp":
        out: Any = _timestamps(group, column)
        absent = out.isna().to_numpy()
    elif dtype == "string":
        out, absent = _texts(group, column)
    else:
        out, absent = _numbers(group, column, dtype)
    if required and absent.any():
        raise SchemaError(f"{group.title}: column {name!r} is missing in row {int(absent.argmax())} but may never be")
    return out


def _timestamps(group: FeatureGroup, column: pd.Series) -> pd.Series:
    column = zoned(column, group.title)
    if column.dt.unit == "ns" and (column.dt.nanosecond > 0).any():
        raise SchemaError(f"{group.title}: column {column.name!r} has times finer than a microsecond")
    return column.dt.tz_convert("UTC").dt.as_unit("us").reset_index(drop=True)


def _texts(group: FeatureGroup, column: pd.Series) -> tuple[pd.Series, np.ndarray[Any, Any]]:
    values = column.to_numpy(dtype=object, copy=True)
    kinds = set(map(type, values))  # by the kinds of all values first, which takes a tenth of looking at each
    if kinds <= {str}:
        return pd.Series(values, dtype=object), np.zeros(len(values), dtype=bool)
    absent = column.isna().to_numpy()
    values[absent] = None
    odd = [kind for kind in set(map(type, values)) if kind is not NoneType and not issubclass(kind, str)]
    if odd:
        wrong = next(value for value in values if type(value) in odd)
        raise SchemaError(f"{group.title}: column {column.name!r} holds {wrong!r}, expected text")
    return pd.Series(values, dtype=object), absent


def _numbers(group: FeatureGroup, column: pd.Series, dtype: str) -> tuple[Any, np.ndarray[Any, Any]]:
    kind = column.dtype
    numbers = pd.api.types.is_numeric_dtype(kind) or pd.api.types.is_bool_dtype(kind)
    all_missing = pd.api.types.is_object_dtype(kind) and column.isna().all()
    if (not numbers and not all_missing) or getattr(kind, "kind", "") == "c":
        raise SchemaError(
            f"{group.title}: column {column.name!r} holds {column.iloc[0]!r} ({kind}), expected {dtype} numbers"
        )
    floats = column.to_numpy(dtype="float64", na_value=np.nan)
    absent = np.isnan(floats)
    if dtype == "float64":
        if pd.api.types.is_integer_dtype(kind):
            _refuse_rounding(group, column, floats)
        if np.isinf(floats).any():
            row = int(np.isinf(floats).argmax())
            raise SchemaError(
                f"{group.title}: column {column.name!r} is infinite in row {row}; a feature is finite or missing"
            )
        negative_zero = (floats.view("int64") == _NEGATIVE_ZERO).any()
        return floats + 0.0 if negative_zero else floats, np.zeros(0, dtype=bool)
    if absent.any():
        return floats, absent
    if dtype == "bool":
        return _exact(group, column, floats, floats != 0.0, "bool")
    if not pd.api.types.is_integer_dtype(kind):
        return _exact(group, column, floats, None, "int64")
    if floats.max(initial=0.0) >= 2.0**63 and max(column) >= 2**63:
        raise SchemaError(f"{group.title}: column {column.name!r} holds {max(column)}, which is beyond int64")
    return column.to_numpy(dtype="int64"), absent


def _refuse_rounding(group: FeatureGroup, column: pd.Series, floats: np.ndarray[Any, Any]) -> None:
    """SchemaError if float64 does not hold one of these whole numbers exactly."""
    for row in np.flatnonzero(np.abs(floats) >= 2.0**53):
        if int(floats[row]) != int(column.iloc[row]):
            raise SchemaError(
                f"{group.title}: column {column.name!r} holds {column.iloc[row]}, beyond 2**53, which float64 rounds"
            )


def _exact(
    group: FeatureGroup, column: pd.Series, floats: np.ndarray[Any, Any], cast: np.ndarray[Any, Any] | None, dtype: str
) -> tuple[Any, np.ndarray[Any, Any]]:
    if cast is None:
        cast = np.trunc(np.clip(floats, -(2.0**53), 2.0**53)).astype("int64")
    changed = cast.astype("float64") != floats
    if changed.any():
        raise SchemaError(
            f"{group.title}: column {column.name!r} holds {floats[int(changed.argmax())]!r}, which is not a whole {dtype}"
        )
    return cast, np.zeros(0, dtype=bool)


def _check_keys(group: FeatureGroup, frame: pd.DataFrame) -> None:
    if group.has_time_key and (np.diff(micros(frame[TIME_KEY])) > 0).all():
        return  # each time stands there once, so each key does
    repeated = frame.duplicated(list(group.primary_key))
    if repeated.any():
        key = {name: frame[name].iloc[int(repeated.to_numpy().argmax())] for name in group.primary_key}
        raise SchemaError(
            f"{group.title}: {int(repeated.sum())} rows repeat a key, the first {_show(key)}; a write holds each key once"
        )


def _check_event_times(group: FeatureGroup, frame: pd.DataFrame, at: datetime) -> None:
    times = micros(frame[group.event_time])
    step = group.step
    if step is not None:
        off = times != micros(frame[TIME_KEY]) + step // timedelta(microseconds=1)
        if off.any():
            row = int(off.argmax())
            raise SchemaError(
                f"{group.title}: row {row} opens {frame[TIME_KEY].iloc[row]} but has event time "
                f"{frame[group.event_time].iloc[row]}; expected the open plus {group.interval}"
            )
    early = times > to_micros(at)
    if early.any():
        row = int(early.argmax())
        raise SchemaError(
            f"{group.title}: {int(early.sum())} rows are not yet known, the first with event time "
            f"{from_micros(times[row])}, after {at}; a forming candle is never stored"
        )


def _show(key: dict[str, Any]) -> str:
    return "{" + ", ".join(f"{name}={value}" for name, value in key.items()) + "}"
