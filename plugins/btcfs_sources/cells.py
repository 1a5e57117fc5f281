"""The cells of a candle table, as Arrow columns of text or of proper types, turned into numbers and instants."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from btcfs.errors import ConfigError, SchemaError

Floats = np.ndarray[Any, np.dtype[np.float64]]
Ints = np.ndarray[Any, np.dtype[np.int64]]
Where = Callable[[int], str]

_MISSING = ["", "null", "nan", "na", "n/a", "none"]
_LIMITS = (
    (1e11, 1_000_000),
    (1e14, 1_000),
    (1e17, 1),
)  # below: seconds, milliseconds, microseconds; above: nanoseconds
_ZONED = r"(?:[zZ]|[+-]\d\d(?::?\d\d)?)$"
_DATE = r"^\d{4}-\d\d-\d\d$"
_UTC = pa.timestamp("us", "UTC")


def numbers(column: Any, name: str, where: Where) -> Floats:
    """The column as float64, NaN for a missing cell. SchemaError, saying where, for text that is no number."""
    if _is_text(column.type):
        texts = pc.utf8_trim_whitespace(column)
        absent = pc.is_in(pc.utf8_lower(texts), pa.array(_MISSING))
        column = _cast(pc.if_else(absent, pa.scalar(None, texts.type), texts), pa.float64(), name, where, "a number")
    elif pa.types.is_null(column.type) or _is_number(column.type):
        column = column.cast(pa.float64(), safe=False)
    else:
        raise SchemaError(f"{where(0)}: column {name!r} holds {column.type}, expected numbers")
    return np.array(column.to_numpy(zero_copy_only=False), dtype="float64")


def instants(column: Any, name: str, timezone: str | None, where: Where) -> Ints:
    """The column as microseconds since the epoch.

    Numbers are seconds, milliseconds, microseconds or nanoseconds by their size; texts are ISO
    8601 with an offset, or bare dates, which are UTC. A time without a zone is in ``timezone``;
    without that it is a SchemaError, as is a missing or unreadable one.
    """
    if column.null_count:
        raise SchemaError(f"{where(int(np.argmax(column.is_null())))}: column {name!r} has no time")
    if pa.types.is_date(column.type):
        return _micros(column.cast(pa.timestamp("us")))
    if pa.types.is_timestamp(column.type):
        return _micros(column.cast(_UTC) if column.type.tz else _localised(column, name, timezone, where))
    if _is_text(column.type):
        column = pc.utf8_trim_whitespace(column)
        if not pc.all(pc.match_substring_regex(column, r"^[+-]?[\d.]+(?:[eE]\+?\d+)?$")).as_py():
            return _from_texts(column, name, timezone, where)
    return _from_epoch(numbers(column, name, where), column, name, where)


def _from_epoch(values: Floats, column: Any, name: str, where: Where) -> Ints:
    if not np.isfinite(values).all() or (values < 0).any():
        row = int(np.argmax(~np.isfinite(values) | (values < 0)))
        raise SchemaError(f"{where(row)}: column {name!r} holds {column[row].as_py()!r}, which is not a time")
    if (values >= _LIMITS[-1][0]).any():  # nanoseconds do not fit float64
        whole = np.asarray(_cast(column, pa.int64(), name, where, "a whole number").to_numpy(zero_copy_only=False))
        return np.where(whole >= _LIMITS[-1][0], whole // 1_000, (whole * _factors(values)).astype("int64"))
    return np.asarray(np.round(values * _factors(values)).astype("int64"))


def _factors(values: Floats) -> Any:
    (seconds, by_second), (millis, by_milli), (micros, by_micro) = _LIMITS
    return np.select([values < seconds, values < millis, values < micros], [by_second, by_milli, by_micro], 0)


def _from_texts(column: Any, name: str, timezone: str | None, where: Where) -> Ints:
    zoned = pc.match_substring_regex(column, _ZONED)
    dates = pc.match_substring_regex(column, _DATE)
    if pc.all(dates).as_py():
        return _micros(_cast(column, pa.timestamp("us"), name, where, "a date such as 2024-01-31"))
    if pc.all(zoned).as_py() and not pc.any(dates).as_py():
        return _micros(_cast(column, _UTC, name, where, "a time such as 2024-01-31T12:00:00Z"))
    if pc.any(pc.and_(zoned, pc.invert(dates))).as_py():
        row = int(np.argmin(np.asarray(zoned)))
        raise SchemaError(f"{where(row)}: time {column[row].as_py()!r} lacks the zone that other rows have")
    naive = _cast(column, pa.timestamp("us"), name, where, "a time such as 2024-01-31T12:00:00Z")
    return _micros(_localised(naive, name, timezone, where, column[0].as_py()))


def _localised(column: Any, name: str, timezone: str | None, where: Where, example: str | None = None) -> Any:
    if timezone is None:
        raise SchemaError(
            f"{where(0)}: column {name!r} holds {example or str(column[0].as_py())!r}, a time without a zone, which is "
            f"not guessed; state it with the option timezone, for instance timezone='UTC'"
        )
    try:
        return pc.assume_timezone(column, timezone, ambiguous="raise", nonexistent="raise")
    except pa.ArrowInvalid as exc:
        if re.search(r"cannot locate time zone|[Ll]ocate", str(exc)):
            raise ConfigError(f"timezone {timezone!r} is not the name of a zone, such as 'UTC'") from exc
        raise SchemaError(f"{where(0)} and later: {exc}; export the times in UTC") from exc


def _cast(column: Any, kind: Any, name: str, where: Where, expected: str) -> Any:
    try:
        return column.cast(kind)
    except pa.ArrowInvalid as exc:
        row = _first_failure(column, kind)
        raise SchemaError(f"{where(row)}: column {name!r} holds {column[row].as_py()!r}, expected {expected}") from exc


def _first_failure(column: Any, kind: Any) -> int:
    """The first row that cannot be cast, by halving the column: casts tell the value, not the row."""
    low, high = 0, len(column)
    while high - low > 1:
        middle = (low + high) // 2
        try:
            column[low:middle].cast(kind)
        except pa.ArrowInvalid:
            high = middle
        else:
            low = middle
    return low


def _micros(column: Any) -> Ints:
    return np.asarray(column.cast(pa.int64()).to_numpy(zero_copy_only=False))


def _is_text(kind: Any) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _is_number(kind: Any) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))
