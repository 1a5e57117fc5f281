"""The meter of a month's budget: what it counts, forecasts, warns of and holds back."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import threading
from datetime import datetime, timedelta
from pathlib import Path

import attrs
import pytest

from btcfs.errors import ConfigError, StoreUnavailable
from btcfs.instants import UTC
from btcfs_hopsworks.quota import MOST_PENDING, Budget, Counts, QuotaExceeded, QuotaMeter

START = datetime(2024, 4, 1, tzinfo=UTC)  # a month of 30 days


@attrs.define
class Clock:
    at: datetime = START + timedelta(days=15)

    def __call__(self) -> datetime:
        return self.at


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "state" / "quota.json"


HUNDRED = """
import sys
from datetime import datetime, timezone
from pathlib import Path
from btcfs_hopsworks.quota import QuotaMeter

meter = QuotaMeter(Path(sys.argv[1]), clock=lambda: datetime(2024, 4, 16, tzinfo=timezone.utc))
for _ in range(100):
    meter.record(1, 10, 20)
meter.close()
"""


def test_threads_and_processes_count_together(file: Path, clock: Clock) -> None:
    """No count is lost between threads of a process or between processes."""
    children = [subprocess.Popen([sys.executable, "-c", HUNDRED, str(file)]) for _ in range(2)]
    meter = QuotaMeter(file, clock=clock)

    def count() -> None:
        for _ in range(250):
            meter.record(1, 10, 20)

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    meter.close()

    assert [child.wait(60) for child in children] == [0, 0]
    assert QuotaMeter(file, clock=clock).usage().counts == Counts(1200, 12_000, 24_000)


def test_a_killed_process_loses_no_more_than_a_batch(file: Path, clock: Clock) -> None:
    """Without any flush or close, the file lacks fewer calls than a batch has."""
    meter = QuotaMeter(file, clock=clock)
    for _ in range(10 * MOST_PENDING + 7):
        meter.record(1)

    written = json.loads(file.read_text())["2024-04"]["calls"]
    assert 10 * MOST_PENDING + 7 - written < MOST_PENDING
    assert meter.usage().counts.calls == 10 * MOST_PENDING + 7


def test_the_forecast_is_the_pace_so_far(file: Path, clock: Clock) -> None:
    """Half a month gone, the month's end has twice as much; it never has less than what is counted."""
    meter = QuotaMeter(file, clock=clock)
    meter.record(1000, 500, 700)

    assert meter.usage().forecast == Counts(2000, 1000, 1400)
    clock.at = START + timedelta(days=30) - timedelta(microseconds=1)
    assert meter.usage().forecast == Counts(1000, 500, 700)
    clock.at = START + timedelta(seconds=1)
    assert meter.usage().forecast.calls == 1000 * 30 * 24


def test_a_month_begins_at_zero(file: Path, clock: Clock) -> None:
    """Counts belong to the UTC month of their call."""
    meter = QuotaMeter(file, Budget(calls=100), clock=clock)
    meter.record(99)
    clock.at = START + timedelta(days=30)

    assert meter.usage().counts == Counts()
    meter.check(essential=False)
    meter.record(2)
    meter.close()
    assert {m: c["calls"] for m, c in json.loads(file.read_text()).items()} == {"2024-04": 99, "2024-05": 2}


@pytest.mark.parametrize("used", [(95, 0, 0), (1, 950, 0), (1, 0, 950)], ids=["calls", "sent", "received"])
def test_at_95_percent_only_essential_calls_go_on(file: Path, clock: Clock, used: tuple[int, int, int]) -> None:
    """Any of the three budgets holds what can wait, with what is used and until when; what cannot wait goes on."""
    meter = QuotaMeter(file, Budget(calls=100, storage_gb=1e-6, egress_gb=1e-6), clock=clock)
    meter.check(essential=False)
    meter.record(*used)

    meter.check(essential=True)
    with pytest.raises(QuotaExceeded, match=r"95% of the budget for 2024-04 .* until 2024-05-01") as raised:
        meter.check(essential=False)
    assert isinstance(raised.value, StoreUnavailable)


def test_the_warning_comes_once_a_month(file: Path, clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    """From 80 % on a process warns once, and again in the next month."""
    meter = QuotaMeter(file, Budget(calls=100), clock=clock)
    with caplog.at_level(logging.WARNING):
        for calls, warnings in (79, 0), (1, 1), (10, 1):
            meter.record(calls)
            meter.flush()
            assert len(caplog.records) == warnings
        assert "80 % of the budget for 2024-04" in caplog.text
        clock.at += timedelta(days=30)
        meter.record(80)
        meter.flush()
    assert len(caplog.records) == 2


def test_a_file_that_cannot_be_written_stops_no_call(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Counting goes on in memory, said once, and is written when it can be."""
    (tmp_path / "blocked").write_text("a file where the folder should be")
    meter = QuotaMeter(tmp_path / "blocked" / "quota.json", clock=Clock())
    for _ in range(3 * MOST_PENDING):
        meter.record(1)

    assert meter.usage().counts.calls == 3 * MOST_PENDING
    assert len(caplog.records) == 1
    (tmp_path / "blocked").unlink()
    meter.flush()
    assert QuotaMeter(meter.path, clock=Clock()).usage().counts.calls == 3 * MOST_PENDING


def test_a_broken_file_is_kept_and_said(file: Path, clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    """A file that holds no counts is put aside with a warning."""
    file.parent.mkdir()
    file.write_text("{torn")
    meter = QuotaMeter(file, clock=clock)
    meter.record(1)
    meter.flush()

    assert meter.usage().counts.calls == 1
    assert file.with_name("quota.json.broken").read_text() == "{torn"
    assert "begins anew" in caplog.text


@pytest.mark.parametrize("wrong", [{"calls": 0}, {"storage_gb": -1}, {"egress_gb": 0}])
def test_a_budget_is_above_zero(wrong: dict[str, float]) -> None:
    """A budget of nothing is a mistake."""
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        Budget(**wrong)


def month_of_predictions(login: int, ingest: int, miss: int, *, minutes: int = 30 * 24 * 60, commits: int = 30) -> int:
    """Calls of a month with a prediction a minute: a login a day, an ingest for each candle, and after each
    commit one read of the new vector, all others coming from the cache."""
    assert minutes >= commits
    return 30 * login + commits * ingest + commits * miss


def test_a_prediction_a_minute_costs_little_of_the_budget() -> None:
    """With daily candles, the cache and one commit per group, a month of 43,200 predictions takes at most 2 % of the calls.

    The numbers of calls are bounds that the backend's own tests hold it to; without a cache it would be 86 %.
    """
    calls = month_of_predictions(login=12, ingest=20, miss=1)

    assert calls <= 0.02 * Budget().calls
    assert 0.8 * Budget().calls < 30 * 24 * 60
