"""The calendar, in UTC, of a candle's open time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from btcfs.indicators import Indicator, indicator

if TYPE_CHECKING:
    Floats = np.ndarray[Any, np.dtype[np.float64]]
    Integers = np.ndarray[Any, np.dtype[np.int64]]

_HOUR = 3_600_000_000
_DAY = 24 * _HOUR
_CALENDAR = "ISO 8601, proleptic Gregorian calendar, UTC"


@indicator(unit="hour", bounds=(0, 23), source=_CALENDAR)
def hour_of_day(timestamp: Integers) -> Floats:
    """Hour in which the candle opens, 0 to 23; always 0 for daily candles."""
    return _remainder(timestamp // _HOUR, 24).astype(np.float64)


@indicator(unit="day", bounds=(0, 6), source=_CALENDAR)
def day_of_week(timestamp: Integers) -> Floats:
    """Day of the week on which the candle opens: Monday 0 to Sunday 6."""
    thursday = 3  # 1970-01-01
    return _remainder(timestamp // _DAY + thursday, 7).astype(np.float64)


@indicator(unit="month", bounds=(1, 12), source=_CALENDAR)
def month_of_year(timestamp: Integers) -> Floats:
    """Month in which the candle opens: January 1 to December 12."""
    day = timestamp // _DAY
    days = np.arange(day[0], day[-1] + 1).view("M8[D]")
    months = _remainder(days.astype("M8[M]").astype(np.int64), 12) + 1
    return np.asarray(months.astype(np.float64)[day - day[0]])


def _weekday() -> Mapping[str, Indicator]:
    return {"weekday": day_of_week()}


@indicator(unit="bool", bounds=(0, 1), requires=_weekday, source=_CALENDAR)
def is_weekend(weekday: Floats) -> Floats:
    """1 if the candle opens on a Saturday or Sunday, else 0."""
    return (weekday >= 5.0).astype(np.float64)


def _remainder(values: Integers, divisor: int) -> Integers:
    # numpy divides several integers at once but takes remainders one by one, which is five times slower.
    return values - values // divisor * divisor
