"""The plain pandas features that the shipped ones are timed against are the same features."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from btcfs.pipeline.candles import CandleArrays
from btcfs.pipeline.compute import compute
from btcfs.pipeline.plan import plan
from btcfs.plugins import installed_plugins
from btcfs.testing.pandas_features import pandas_features
from served import market

# pandas updates the variance of a window from row to row; after a fall of 70 % the bands keep 1e-8 of what was.
LOOSER = {"bb_width_20": 1e-7, "bb_percent_b_20": 1e-7}


def assert_same_features(candles: pd.DataFrame, interval: str) -> None:
    standard = [i for i in installed_plugins().indicators() if i.function.__module__.startswith("btcfs_ta.")]
    ours = compute(plan(standard, interval), CandleArrays.from_frame(candles, interval))
    theirs = pandas_features(candles)

    assert tuple(theirs.columns) == ours.names
    assert len(ours.names) == 47
    for name, actual in zip(ours.names, ours.columns, strict=True):
        wanted = theirs[name].to_numpy(dtype="float64")
        np.testing.assert_array_equal(np.isnan(actual), np.isnan(wanted), err_msg=name)
        size = np.maximum(np.abs(wanted), np.nanmedian(np.abs(wanted)))
        off = np.nanmax(np.abs(actual - wanted) / np.where(size > 0.0, size, 1.0))
        assert off <= LOOSER.get(name, 1e-9), f"{name} is off by {off:.1e}"


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_equal_on_a_generated_market(seed: int) -> None:
    """Every one of the 47 features equals the shipped one to 1e-9, and is missing in the same rows."""
    assert_same_features(market(1_500, seed=seed), "1d")


def test_equal_on_real_days(daily_candles: pd.DataFrame) -> None:
    """So on all real days."""
    assert_same_features(daily_candles, "1d")


def test_equal_on_real_hours(hourly_candles: pd.DataFrame) -> None:
    """So on all real hours, the two features made of the bands' distance to 1e-7."""
    assert_same_features(hourly_candles, "1h")
