"""The rule that the pictures' calendar has a few round instants, whatever the length of time."""

from __future__ import annotations

import re
from datetime import datetime, timezone

import pytest

from btcfs.training.calendar_axis import MOST, calendar_axis
from btcfs.training.svg import Scale


def seconds(day: str) -> float:
    return datetime.fromisoformat(day).replace(tzinfo=timezone.utc).timestamp()


def labels(start: str, end: str) -> list[str]:
    marks = calendar_axis(Scale(seconds(start), seconds(end), 0.0, 700.0), 100.0, 0.0)
    return re.findall(r">([^<]+)</text>", "".join(marks))


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        ("2015-06-16", "2022-08-19", ["2016", "2017", "2018", "2019", "2020", "2021", "2022"]),
        ("2021-11-20", "2022-08-19", [f"{y}-{m:02d}" for y, m in [(2021, 12), *((2022, k) for k in range(1, 9))]]),
        ("2021-10-20", "2022-12-19", ["2021-11", "2022-01", "2022-03", "2022-05", "2022-07", "2022-09", "2022-11"]),
        ("2022-01-30", "2022-02-04", ["01-30", "01-31", "02-01", "02-02", "02-03", "02-04"]),
    ],
)
def test_the_calendar_has_round_instants(start: str, end: str, expected: list[str]) -> None:
    """Years, months or days, as many as there is room for."""
    assert labels(start, end) == expected


@pytest.mark.parametrize("days", [1, 9, 10, 45, 61, 62, 63, 300, 1000, 5000, 40_000])
def test_labels_never_run_into_each_other(days: int) -> None:
    """No length of time has more labels than there is room for, and every one has one."""
    end = datetime.fromtimestamp(seconds("1971-01-01") + days * 86_400, timezone.utc).strftime("%Y-%m-%d")

    assert 1 <= len(labels("1971-01-01", end)) <= MOST + 1
