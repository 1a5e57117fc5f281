"""The calendar, in UTC, of a candle's open time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from btcfs.indicators import indicator

if TYPE_CHECKING:
    Floats = np.ndarray[Any, np.dtype[np.float64]]
    Integers = np.ndarray[Any, np.dtype[np.int64]]

_HOUR = 3_600_000_000
_DAY = 24 * _HOUR
_CALENDAR = "ISO 8601, proleptic Gregorian calendar, UTC"


@indicator(unit="hour", bounds=(0, 23), source=_CALENDAR)
def hour_of_day(timestamp: Integers) -> Floats:
    """Hour in which the candle opens, 0 to 23; always 0 for daily candles."""
    return np.asarray((timestamp // _HOUR % 24).astype(np.float64))


@indicator(unit="day", bounds=(0, 6), source=_CALENDAR)
def day_of_week(timestamp: Integers) -> Floats:
    """Day of the week on which the candle opens: Monday 0 to Sunday 6."""
    return _weekday(timestamp).astype(np.float64)


@indicator(unit="month", bounds=(1, 12), source=_CALENDAR)
def month_of_year(timestamp: Integers) -> Floats:
    """Month in which the candle opens: January 1 to December 12."""
    months = timestamp.view("M8[us]").astype("M8[M]").astype(np.int64)
    return (months % 12 + 1).astype(np.float64)


@indicator(unit="bool", bounds=(0, 1), source=_CALENDAR)
def is_weekend(timestamp: Integers) -> Floats:
    """1 if the candle opens on a Saturday or Sunday, else 0."""
    return (_weekday(timestamp) >= 5).astype(np.float64)


def _weekday(timestamp: Integers) -> Integers:
    return (timestamp // _DAY + 3) % 7  # 1970-01-01 was a Thursday
