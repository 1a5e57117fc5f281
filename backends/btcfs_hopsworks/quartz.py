"""Quartz expressions, which say when a job of Hopsworks runs; the client sends any text, so it is read here first."""

from __future__ import annotations

import re

_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_DAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
# Each field's title, lowest and highest number, and the names that stand for its numbers from the lowest on.
_FIELDS: tuple[tuple[str, int, int, tuple[str, ...]], ...] = (
    ("seconds", 0, 59, ()),
    ("minutes", 0, 59, ()),
    ("hours", 0, 23, ()),
    ("day of month", 1, 31, ()),
    ("month", 1, 12, _MONTHS),
    ("day of week", 1, 7, _DAYS),
    ("year", 1970, 2199, ()),
)
_PART = re.compile(r"(?:\*|(\w+)(?:-(\w+))?)(?:/(\d+))?")
# The last day, the last but so many, the last weekday; the weekday nearest to a day; the last and the nth of a weekday.
_MONTHLY = re.compile(r"L|LW|L-([1-9]|[12]\d|30)|([1-9]|[12]\d|3[01])W")
_WEEKLY = re.compile(r"L|([1-7]|SUN|MON|TUE|WED|THU|FRI|SAT)(L|#[1-5])")


def check(text: str) -> None:
    """ValueError, with what is wrong and what is expected, unless the text is a Quartz expression."""
    fields = text.split()
    if len(fields) not in (6, 7):
        raise ValueError(
            f"cron is {text!r}, with {len(fields)} fields; expected a Quartz expression of 6 or 7 (seconds, minutes, hours, "
            f"day of month, month, day of week, and a year if it is meant), such as '0 0 12 ? * * *' for every noon in UTC"
        )
    for number, field in enumerate(fields):
        unset = field == "?" and number in (3, 5)
        if not unset and not all(_is_part(number, part.upper()) for part in field.split(",")):
            title, lowest, highest, _ = _FIELDS[number]
            raise ValueError(
                f"cron is {text!r}, where {field!r} is no Quartz {title}; expected numbers of {lowest} to {highest}, as in "
                f"'0 0 12 ? * * *'"
            )
    if fields[0] != "0":
        raise ValueError(
            f"cron is {text!r}; the scheduler of Hopsworks takes only 0 as seconds, as in '0 0 12 ? * * *'"
        )
    if (fields[3] == "?") == (fields[5] == "?"):
        raise ValueError(
            f"cron is {text!r}; a Quartz expression has a '?' for either the day of month or the day of week, as in "
            f"'0 0 12 ? * * *'"
        )


def _is_part(number: int, part: str) -> bool:
    if (number == 3 and _MONTHLY.fullmatch(part)) or (number == 5 and _WEEKLY.fullmatch(part)):
        return True
    found = _PART.fullmatch(part)
    return found is not None and _in_range(_FIELDS[number], *found.groups())


def _in_range(
    field: tuple[str, int, int, tuple[str, ...]], first: str | None, last: str | None, step: str | None
) -> bool:
    _, lowest, highest, names = field
    numbers = [_number(one, lowest, names) for one in (first, last) if one is not None]
    return all(lowest <= one <= highest for one in numbers) and (step is None or 1 <= int(step) <= highest)


def _number(text: str, lowest: int, names: tuple[str, ...]) -> int:
    """The number that a text is or names; -1 if it is neither."""
    if text in names:
        return lowest + names.index(text)
    return int(text) if text.isdecimal() else -1
