"""Each validation rule finds what it is for, and nothing else."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pandas as pd
import pytest

from btcfs.errors import SchemaError
from btcfs.pipeline.rules import RULES
from btcfs.pipeline.validate import CandlesRefused, Validator, check, judge
from plausible import LATER, START, candles, changed, found


def test_clean_candles_pass() -> None:
    """Clean candles break no rule, and all of them are accepted."""
    report = check(candles(), "1h", LATER)

    assert report.findings == ()
    assert (report.rows, report.accepted, report.rejected) == (50, 50, 0)
    assert (report.start, report.end) == (START, START + timedelta(hours=49))


@pytest.mark.parametrize(
    ("frame", "rule", "severity"),
    [
        (changed(7, close=np.nan), "finite", "error"),
        (changed(7, volume=np.inf), "finite", "error"),
        (changed(7, low=0.0), "positive", "error"),
        (changed(7, high=1.0), "ohlc", "error"),
        (changed(7, low=60_000.0), "ohlc", "error"),
        (changed(7, volume=-1.0, quote_volume=1.0), "volume", "error"),
        (changed(7, volume=0.0, quote_volume=0.0), "zero_volume", "warning"),
        (changed(7, quote_volume=1.0), "quote_volume", "warning"),
        (changed(7, high=95_000.0), "move", "warning"),
        (changed(7, volume=50_085.0 * 13, quote_volume=13.0), "swapped_volume", "warning"),
    ],
)
def test_a_single_bad_row(frame: pd.DataFrame, rule: str, severity: str) -> None:
    """One bad row breaks its own rule once, with the severity that belongs to it, and no other rule of its kind."""
    hits = found(frame)

    assert hits[rule] == (severity, 1)
    assert [name for name, (kind, _) in hits.items() if kind == "error" and name not in (rule, "ohlc")] == []


def test_the_finding_names_the_row() -> None:
    """A finding says when, and with which values, a rule was broken."""
    finding = check(changed(7, high=1.0), "1h", LATER).finding("ohlc")

    assert finding is not None
    assert finding.spans[0].first == START + timedelta(hours=7)
    assert "high 1.0" in finding.examples[0]
    assert "2024-03-01T07:00" in finding.examples[0]


def test_identical_duplicates_are_dropped() -> None:
    """A row that repeats another exactly is dropped with a warning, and the rest is accepted."""
    frame = pd.concat([candles(), candles().iloc[[3, 3, 9]]]).sort_values("timestamp", kind="stable")

    verdict = judge(frame, "1h", LATER)

    assert verdict.report.dropped == 3
    assert found(frame) == {"duplicate": ("warning", 3)}
    pd.testing.assert_frame_equal(verdict.accepted, candles())


def test_disagreeing_duplicates_are_all_rejected() -> None:
    """Rows of one open time that differ are errors, and none of them is believed."""
    frame = pd.concat([candles(), changed(3, volume=9.5).iloc[[3]]]).sort_values("timestamp", kind="stable")

    verdict = judge(frame, "1h", LATER)

    assert found(frame)["conflict"] == ("error", 2)
    assert len(verdict.accepted) == 49
    assert START + timedelta(hours=3) not in set(verdict.accepted["timestamp"])


def test_a_step_back_in_time_is_an_error() -> None:
    """Rows that come later than a newer one are rejected."""
    frame = candles().iloc[[0, 1, 2, 5, 3, 4, 6]]

    assert found(frame)["order"] == ("error", 2)


def test_gaps_are_counted_in_candles() -> None:
    """A gap is a warning that names the first and last missing open time and how many are missing."""
    frame = candles().drop(index=[10, 11, 12, 30])

    finding = check(frame, "1h", LATER).finding("gap")

    assert finding is not None
    assert finding.severity == "warning"
    assert [(span.first.hour, span.rows) for span in finding.spans] == [(10, 3), (6, 1)]


@pytest.mark.parametrize("minutes", [7, 30])
def test_a_time_off_the_grid_is_an_error(minutes: int) -> None:
    """A candle that opens between two multiples of its interval is rejected, and is no sign of another interval."""
    stray = candles().iloc[[5]]
    stray["timestamp"] += timedelta(minutes=minutes)
    frame = pd.concat([candles(), stray]).sort_values("timestamp")

    assert found(frame) == {"grid": ("error", 1)}


def test_weeks_may_begin_on_any_midnight() -> None:
    """Weekly candles lie on a grid of their own, because exchanges begin weeks on Monday or on Thursday."""
    assert found(candles(20, step="7D"), "1w") == {}


def test_zero_volume_runs_have_spans() -> None:
    """Neighbouring candles without volume are one span."""
    frame = candles()
    frame.loc[[4, 5, 6, 20], ["volume", "quote_volume"]] = 0.0

    finding = check(frame, "1h", LATER).finding("zero_volume")

    assert finding is not None
    assert [(span.first.hour, span.rows) for span in finding.spans] == [(4, 3), (20, 1)]


def test_repeated_bars_are_a_warning() -> None:
    """A candle with the prices and the volume of the one before is suspicious."""
    frame = candles()
    frame.iloc[9, 1:] = frame.iloc[8, 1:]

    assert found(frame) == {"repeated": ("warning", 1)}


@pytest.mark.parametrize("factor", [0.51, 1.6])
def test_real_moves_are_no_error(factor: float) -> None:
    """A day that halves the price, as 12 March 2020 nearly did, is accepted."""
    frame = candles(step="1D")
    frame.loc[10:, ["open", "high", "low", "close"]] *= factor
    frame.loc[10:, "quote_volume"] *= factor

    report = check(frame, "1d", LATER)

    assert report.ok
    assert report.accepted == 50


def test_a_unit_jump_of_the_price_is_seen() -> None:
    """Prices that go on in cents are a warning."""
    frame = candles()
    frame.loc[20:, ["open", "high", "low", "close", "quote_volume"]] *= 100

    assert found(frame)["move"] == ("warning", 1)


def test_forming_and_future_candles_are_errors() -> None:
    """A candle that has not closed, and one that has not opened, are never accepted."""
    now = START + timedelta(hours=47, minutes=30)

    assert found(candles(), now=now) == {"forming": ("error", 1), "future": ("error", 2)}
    assert check(candles(), "1h", now).accepted == 47


def test_a_candle_has_closed_at_its_close() -> None:
    """At the very instant of its close a candle is complete."""
    assert found(candles(), now=START + timedelta(hours=50)) == {}


@pytest.mark.parametrize(("step", "asked"), [("1D", "1h"), ("1min", "1h"), ("1h", "1d")])
def test_another_interval_is_an_error(step: str, asked: str) -> None:
    """Candles of another interval than the one asked for are refused with both named, quarantine or not."""
    rejected: list[pd.DataFrame] = []
    validator = Validator(asked, LATER, quarantine=rejected.append)

    with pytest.raises(CandlesRefused, match="interval"):
        list(validator.accepted([candles(60, step=step)]))


def test_mixed_intervals_are_an_error() -> None:
    """Hours that go on as days are refused, and the message says where."""
    days = candles(10, step="1D")
    days["timestamp"] += timedelta(days=5)
    frame = pd.concat([candles(100), days], ignore_index=True)

    with pytest.raises(CandlesRefused, match=r"mixed intervals.*2024-03-06"):
        list(Validator("1h", LATER).accepted([frame]))


def test_a_thin_market_is_not_another_interval() -> None:
    """Minutes without a trade leave gaps, often equal ones, and are still minutes."""
    random = np.random.default_rng(5)
    frame = candles(20_000, step="1min")[random.random(20_000) < 0.6]

    hits = found(frame, "1m")

    assert hits["gap"][0] == "warning"
    assert "interval" not in hits


@pytest.mark.parametrize("problem", ["missing", "naive", "text"])
def test_what_is_not_candles_is_refused_at_once(problem: str) -> None:
    """A frame without a column, with naive times or with text for numbers raises SchemaError naming the column."""
    frame = candles()
    if problem == "missing":
        frame = frame.drop(columns="volume")
    elif problem == "naive":
        frame["timestamp"] = frame["timestamp"].dt.tz_localize(None)
    else:
        frame["volume"] = frame["volume"].astype(str)

    with pytest.raises(SchemaError, match="timestamp" if problem == "naive" else "volume"):
        check(frame, "1h", LATER)


def test_a_row_without_a_time_is_an_error() -> None:
    """NaT is rejected, whatever else stands in the row."""
    frame = candles()
    frame.loc[4, "timestamp"] = pd.NaT

    assert found(frame)["time"] == ("error", 1)


def test_a_volume_jump_without_a_quote_column() -> None:
    """A lone volume column that goes on in another unit is a warning at the row where it does."""
    frame = candles(100, quote=False)
    frame.loc[40:, "volume"] *= 50_000.0

    finding = check(frame, "1h", LATER).finding("volume_jump")

    assert finding is not None
    assert [span.first for span in finding.spans] == [START + timedelta(hours=40)]


def test_rules_have_different_names_and_say_something() -> None:
    """A rule is told apart by its name, and described."""
    assert len({rule.name for rule in RULES}) == len(RULES)
    assert all(rule.description and rule.detail and rule.severity in ("error", "warning") for rule in RULES)
