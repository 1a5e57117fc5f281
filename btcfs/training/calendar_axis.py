"""An axis of the calendar for the pictures of the training report."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from btcfs.training.svg import Scale, line, text

MOST = 9  # labels; more would run into each other
_DAY = 86_400


def calendar_axis(scale: Scale, y: float, top: float) -> list[str]:
    """Years, months or days under a picture whose scale is in seconds since 1970, and a faint line up from each."""
    marks = [line(scale.start, y, scale.end, y)]
    for instant, words in _ticks(scale.low, scale.high):
        at = scale(instant.timestamp())
        marks += [line(at, top, at, y, "grid"), text(at, y + 16, words, "tick", "middle")]
    return marks


def _ticks(low: float, high: float) -> list[tuple[datetime, str]]:
    """At most so many round instants with low <= instant <= high, in UTC, each with its label."""
    if high - low < 62 * _DAY:
        return _days(low, high)
    first, last = (datetime.fromtimestamp(end, timezone.utc) for end in (low, high))
    months = range(first.year * 12 + first.month, last.year * 12 + last.month)  # the one that began before is left out
    step = next(s for s in (1, 2, 3, 6, 12, 24, 60, 120, 1200) if len(months) <= MOST * s)
    chosen = [divmod(month, 12) for month in months if month % step == 0]
    form = "%Y" if step >= 12 else "%Y-%m"
    starts = [datetime(year, month + 1, 1, tzinfo=timezone.utc) for year, month in chosen]
    return [(start, start.strftime(form)) for start in starts]


def _days(low: float, high: float) -> list[tuple[datetime, str]]:
    step = next(s for s in (1, 2, 5, 10) if high - low <= MOST * s * _DAY)
    first = datetime.fromtimestamp(-(-low // _DAY) * _DAY, timezone.utc)
    days = [first + timedelta(days=k) for k in range(0, int((high - first.timestamp()) // _DAY) + 1, step)]
    return [(day, day.strftime("%m-%d")) for day in days]
