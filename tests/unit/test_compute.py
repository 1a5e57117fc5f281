"""Candle arrays and feature blocks: what is refused, and what the frames look like."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

import numpy as np
import pandas as pd
import pytest

from btcfs.errors import DefinitionError, SchemaError
from btcfs.frames import conform
from btcfs.indicators import indicator
from btcfs.pipeline.candles import CandleArrays
from btcfs.pipeline.compute import compute, compute_new, compute_stream
from btcfs.pipeline.plan import plan
from btcfs.testing.synthetic import Market, candle_frame


@indicator(lookback=1)
def change(close: np.ndarray) -> np.ndarray:
    """Change of the close."""
    out = np.full(len(close), np.nan)
    out[1:] = close[1:] / close[:-1] - 1.0
    return out


@indicator(requires=lambda: {"moves": change()}, lookback=1)
def change_of_change(moves: np.ndarray) -> np.ndarray:
    """Change of the change; fails on a missing value."""
    assert not np.isnan(moves).any()
    return np.append(np.nan, np.diff(moves))


@indicator()
def single(close: np.ndarray) -> Any:
    """Values of the wrong type."""
    return close.astype("float32")


PLAN = plan([change(), change_of_change()], "1h")
FRAME = candle_frame(Market().candles(10))


def with_value(column: str, row: int, value: Any) -> pd.DataFrame:
    frame = FRAME.copy()
    frame.loc[row, column] = value
    return frame


BROKEN: dict[str, tuple[Callable[[], pd.DataFrame], str]] = {
    "missing column": (lambda: FRAME.drop(columns="low"), "candles lack low"),
    "not a number": (lambda: FRAME.assign(close=["x"] * 10), "column 'close' has type"),
    "nan": (lambda: with_value("high", 3, np.nan), "2020-01-01 03:00.* has high nan"),
    "infinite": (lambda: with_value("volume", 9, np.inf), "2020-01-01 09:00.* has volume inf"),
    "naive": (
        lambda: FRAME.assign(timestamp=FRAME.timestamp.dt.tz_localize(None)),
        "expected timestamps with a time zone",
    ),
    "descending": (lambda: FRAME[::-1], "expected ascending"),
    "repeated": (lambda: pd.concat([FRAME, FRAME[-1:]]), "expected ascending"),
    "off grid": (lambda: with_value("timestamp", 9, FRAME.timestamp[9] + timedelta(minutes=1)), "whole intervals"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_candles_are_refused(case: str) -> None:
    """Candles that would poison an indicator are refused, naming column and time."""
    make, message = BROKEN[case]

    with pytest.raises(SchemaError, match=message):
        CandleArrays.from_frame(make(), "1h")


def test_candles_are_read_only_and_frame_is_left_alone() -> None:
    """Nobody can change the candles through an array, and making them does not lock the frame."""
    frame = FRAME.copy()
    candles = CandleArrays.from_frame(frame, "1h")

    with pytest.raises(ValueError, match="read-only"):
        candles.close[0] = 1.0
    frame.loc[0, "close"] = 1.0
    pd.testing.assert_frame_equal(candle_frame(CandleArrays.from_frame(FRAME, "1h")), FRAME)


def test_integers_are_numbers() -> None:
    """Whole prices may come as integers."""
    candles = CandleArrays.from_frame(FRAME.assign(volume=range(10)), "1h")

    assert candles.volume.dtype == np.float64


def test_block_fits_its_group() -> None:
    """A block's frame is already what the store stores: key, event time at the close, features, no copy of them."""
    group = PLAN.group("moves", 1)
    block = compute(PLAN, CandleArrays.from_frame(FRAME, "1h"))

    frame = block.frame("BTC-USD", group)

    pd.testing.assert_frame_equal(frame, conform(group, frame))
    assert (frame.event_time - frame.timestamp).unique().tolist() == [timedelta(hours=1)]
    assert np.shares_memory(frame["change"].to_numpy(), block.columns[0])


def test_block_refuses_a_group_of_other_features() -> None:
    """A block makes no column up."""
    group = plan([change(), single()], "1h").group("moves", 1)

    with pytest.raises(DefinitionError, match="has single, which the plan does not compute"):
        compute(PLAN, Market().candles(3)).frame("BTC-USD", group)


def test_missing_values_never_reach_an_indicator() -> None:
    """A required output is passed on from its first defined row; rows before have no value."""
    block = compute(PLAN, Market().candles(10))

    assert np.isnan(block.columns[1][:2]).all()
    assert np.isfinite(block.columns[1][2:]).all()


@pytest.mark.parametrize("rows", [0, 1, 2])
def test_short_histories(rows: int) -> None:
    """Too short a history gives rows without values, none gives no row, in every mode."""
    candles = Market().candles(rows)

    for block in (compute(PLAN, candles), *compute_stream(PLAN, [candle_frame(candles)])):
        assert [len(column) for column in block.columns] == [rows, rows]
    assert len(compute_new(PLAN, candles.rows(0, 0), candles)) == rows
    assert list(compute_stream(PLAN, [])) == []


def test_range_is_half_open() -> None:
    """Rows are those with start <= open time < end."""
    start = datetime(2020, 1, 1, 3, tzinfo=timezone.utc)

    block = compute(PLAN, Market().candles(10), start, start + timedelta(hours=2))

    assert block.frame("x", PLAN.group("g", 1)).timestamp.dt.hour.tolist() == [3, 4]
    assert len(compute(PLAN, Market().candles(10), start, start - timedelta(hours=2))) == 0


def test_wrong_output_is_refused_naming_the_indicator() -> None:
    """An indicator that returns something else than it should is named."""
    with pytest.raises(DefinitionError, match=r"'single' returned float32\[5\] for 'single'; expected a float64 array"):
        compute(plan([single()], "1h"), Market().candles(5))


def test_candles_of_another_interval_are_refused() -> None:
    """A plan for hours refuses candles of minutes, and new candles must continue the history."""
    with pytest.raises(SchemaError, match="the plan is for candles of 1h"):
        compute(PLAN, Market().candles(5, "1m"))
    with pytest.raises(SchemaError, match="cannot follow"):
        compute_new(PLAN, Market().candles(5), Market().candles(2))
