"""Instants as microseconds: exact, zoned, and never guessed."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from btcfs.errors import SchemaError
from btcfs.instants import UTC, from_micros, now, parse_instant, to_micros

zones = st.integers(-23 * 60, 23 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
moments = st.datetimes(min_value=datetime(2, 1, 1), max_value=datetime(9998, 1, 1), timezones=zones)


@settings(derandomize=True, deadline=None)
@given(moments)
def test_microseconds_are_exact(moment: datetime) -> None:
    """To microseconds and back is the same instant in UTC, over all of the calendar; so is its text."""
    assert from_micros(to_micros(moment)) == moment
    assert from_micros(to_micros(moment)).utcoffset() == timedelta(0)
    assert to_micros(moment.isoformat()) == to_micros(moment)


def test_known_instants() -> None:
    """Zero is 1970 in UTC, and time before it is negative."""
    assert to_micros(datetime(1970, 1, 1, tzinfo=UTC)) == 0
    assert to_micros(datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)) == -1
    assert to_micros("2024-01-31T12:00:00+02:00") == to_micros("2024-01-31T10:00:00Z") == 1_706_695_200_000_000
    assert parse_instant(" 2024-01-31 ") == datetime(2024, 1, 31, tzinfo=UTC)


def test_nanoseconds_are_cut_off() -> None:
    """A pandas timestamp between two microseconds is the earlier one."""
    assert to_micros(pd.Timestamp(-1, unit="ns", tz="UTC")) == -1
    assert to_micros(pd.Timestamp(1999, unit="ns", tz="UTC")) == 1


@pytest.mark.parametrize(
    "value", [datetime(2024, 1, 1), pd.Timestamp("2024-01-01"), "2024-01-01T00:00:00", "2024-01-01 12:00"]
)
def test_naive_times_are_refused(value: Any) -> None:
    """The message says how to write the zone."""
    with pytest.raises(SchemaError, match=r"zone.*(\+00:00|Z)"):
        to_micros(value)


@pytest.mark.parametrize(
    "value", [0, 1.5, None, date(2024, 1, 1), "", "Z", "now", "2024-13-01", "2024-01-01T25:00:00Z"]
)
def test_what_is_no_time_is_refused(value: Any) -> None:
    """Numbers are not times, since their unit would be guessed; nor is any other text."""
    with pytest.raises(SchemaError, match="is not a time"):
        to_micros(value)


def test_now_is_in_utc() -> None:
    """The present has a zone."""
    assert now().utcoffset() == timedelta(0)
