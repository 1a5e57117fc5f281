"""The indicator kit finds planted faults, under the law that they break, and finds none in sound indicators."""

from __future__ import annotations

import itertools
import time
from typing import Any

import numpy as np
import pandas as pd
import pytest
import talib

from btcfs.indicators import Indicator, IndicatorFamily, Output, indicator
from btcfs.testing.indicators import certify

Array = np.ndarray[Any, np.dtype[np.float64]]
BAD: dict[str, tuple[str, Indicator]] = {}
GOOD: dict[str, Indicator] = {}


def planted(law: str) -> Any:
    def keep(family: IndicatorFamily) -> IndicatorFamily:
        BAD[family.name] = (law, family())
        return family

    return keep


def sound(family: IndicatorFamily) -> IndicatorFamily:
    GOOD[family.name] = family()
    return family


def rolling(values: Array, period: int = 20) -> Any:
    return pd.Series(values).rolling(period)


# --- looking ahead ---------------------------------------------------------------------------------------------------


@planted("prefix")
@indicator()
def next_return(close: Array) -> Array:
    return np.append(close[1:] / close[:-1] - 1.0, 0.0)


@planted("prefix")
@indicator(lookback=10, price_degree=1)
def centred_mean(close: Array) -> Array:
    return pd.Series(close).rolling(21, center=True, min_periods=11).mean().to_numpy(copy=True)


@planted("prefix")
@indicator(price_degree=1)
def backfilled_mean(close: Array) -> Array:
    return rolling(close).mean().bfill().to_numpy(copy=True)


@planted("prefix")
@indicator()
def whole_sample_score(close: Array) -> Array:
    return (close - close.mean()) / (close.std() + 1e-300)


@planted("prefix")
@indicator()
def min_max_scaled(close: Array) -> Array:
    return (close - close.min()) / max(close.max() - close.min(), 1e-300)


@planted("prefix")
@indicator(price_degree=1)
def winsorised(close: Array) -> Array:
    return np.clip(close, *np.quantile(close, (0.05, 0.95)))


@planted("prefix")
@indicator(price_degree=1)
def detrended(close: Array) -> Array:
    return close - np.linspace(close[0], close[-1], len(close))


@planted("prefix")
@indicator(price_degree=1)
def low_passed(close: Array) -> Array:
    spectrum = np.fft.rfft(close)
    spectrum[max(1, len(spectrum) // 10) :] = 0.0
    return np.fft.irfft(spectrum, len(close))


@planted("prefix")
@indicator(price_degree=1)
def daily_high_on_hours(timestamp: Any, high: Array) -> Array:
    return pd.Series(high).groupby(timestamp // 86_400_000_000).transform("max").to_numpy(copy=True)


@planted("prefix")
@indicator(price_degree=1)
def interpolated(close: Array, volume: Array) -> Array:
    return pd.Series(close).where(volume > np.median(volume)).interpolate(limit_direction="both").to_numpy(copy=True)


@planted("prefix")
@indicator(price_degree=None)
def counts_all_rows(close: Array) -> Array:
    return np.full(len(close), float(len(close)))


# --- remembering too much, or declaring too little -------------------------------------------------------------------


@planted("warm-up")
@indicator(lookback=9, price_degree=1)
def lookback_too_short(close: Array) -> Array:
    return rolling(close).mean().to_numpy(copy=True)


@planted("warm-up")
@indicator(lookback=25, price_degree=1)
def lookback_too_long(close: Array) -> Array:
    return rolling(close).mean().to_numpy(copy=True)


@planted("window")
@indicator(lookback=9, price_degree=1)
def lookback_hidden(close: Array) -> Array:
    values = pd.Series(close).rolling(20, min_periods=10).mean().to_numpy(copy=True)
    return np.asarray(values)


@planted("window")
@indicator(price_degree=1)
def expanding_mean(close: Array) -> Array:
    return np.cumsum(close) / np.arange(1, len(close) + 1)


@planted("window")
@indicator(volume_degree=1)
def endless_balance(close: Array, volume: Array) -> Array:
    return np.cumsum(np.sign(np.diff(close, prepend=close[0])) * volume)


@planted("window")
@indicator(price_degree=1, unstable=100, memory="fading")
def average_that_settles_late(close: Array) -> Array:
    return pd.Series(close).ewm(span=50, adjust=False).mean().to_numpy(copy=True)


@planted("window")
@indicator(price_degree=1, lookback=19)
def price_weighted_by_a_residue(close: Array, volume: Array) -> Array:
    traded = talib.SUM(volume, 20)  # a running sum: not exactly 0 where nothing was traded
    return np.asarray(talib.SUM(close * volume, 20) / np.where(traded == 0.0, 1.0, traded))


# --- impure ----------------------------------------------------------------------------------------------------------


@planted("pure")
@indicator(price_degree=None)
def noisy(close: Array) -> Array:
    return close + np.random.default_rng().normal(size=len(close))


@planted("pure")
@indicator(price_degree=None)
def clock(close: Array) -> Array:
    return np.full(len(close), time.perf_counter())


_calls = itertools.count()


@planted("pure")
@indicator(price_degree=None)
def counting_its_calls(close: Array) -> Array:
    return close + next(_calls)


_results: dict[int, Array] = {}


@planted("pure")
@indicator(price_degree=1)
def cached_by_length(close: Array) -> Array:
    return _results.setdefault(len(close), close * 2.0).copy()


@planted("pure")
@indicator(price_degree=1)
def changing_its_input(close: Array) -> Array:
    close *= 2.0
    return close.copy()


@planted("pure")
@indicator(price_degree=1)
def forcing_its_input(close: Array) -> Array:
    owner: Any = close
    while owner.base is not None:
        owner = owner.base
    owner[-1] = owner[-1] * 1.5
    return close * 1.0


@planted("pure")
@indicator(price_degree=1)
def alias_of_its_input(close: Array) -> Array:
    return close


_buffer = np.zeros(100_000)


@planted("pure")
@indicator(price_degree=1)
def one_buffer_for_all(close: Array) -> Array:
    _buffer.flags.writeable = True
    out = _buffer[: len(close)]
    out[:] = close
    return out


# --- malformed -------------------------------------------------------------------------------------------------------


@planted("shape")
@indicator(price_degree=1)
def one_row_short(close: Array) -> Array:
    return np.diff(close)


@planted("shape")
@indicator(price_degree=1)
def single_precision(close: Array) -> Any:
    return close.astype(np.float32)


@planted("shape")
@indicator(price_degree=1)
def pandas_series(close: Array) -> Any:
    return pd.Series(close)


@planted("shape")
@indicator(outputs=(Output("one", price_degree=1), Output("two", price_degree=1)))
def missing_output(close: Array) -> Any:
    return (close.copy(),)


@planted("shape")
@indicator(price_degree=1)
def needs_two_rows(close: Array) -> Array:
    return close * (1.0 if close[1] else 2.0)


# --- wrong in what it says of its numbers ----------------------------------------------------------------------------


@planted("scale")
@indicator(lookback=19, price_degree=0)
def dimensionless_in_dollars(close: Array) -> Array:
    return rolling(close).mean().to_numpy(copy=True)


@planted("bounds")
@indicator(bounds=(0, 1))
def share_beyond_one(open: Array, close: Array) -> Array:
    return close / open


@planted("hostile")
@indicator(lookback=19, price_degree=1)
def price_weighted_by_nothing(close: Array, volume: Array) -> Array:
    with np.errstate(invalid="ignore"):
        windows = np.lib.stride_tricks.sliding_window_view
        out = np.full(len(close), np.nan)
        if len(close) >= 20:
            out[19:] = windows(close * volume, 20).sum(axis=1) / windows(volume, 20).sum(axis=1)
        return out


@planted("hostile")
@indicator()
def place_in_an_empty_range(high: Array, low: Array, close: Array) -> Array:
    if (high == low).any():
        raise ZeroDivisionError("the range is empty")
    return (close - low) / (high - low)


_shared: list[Any] = [None]


@planted("threads")
@indicator(price_degree=1)
def shared_between_threads(close: Array) -> Array:
    _shared[0] = close
    time.sleep(0.001)  # another thread comes in between
    return _shared[0] * 1.0 if len(_shared[0]) == len(close) else close * 1.0


# --- sound -----------------------------------------------------------------------------------------------------------


@sound
@indicator(lookback=lambda period: period - 1, price_degree=1)
def plain_mean(close: Array, *, period: int = 20) -> Array:
    out = np.full(len(close), np.nan)
    if len(close) >= period:
        out[period - 1 :] = np.lib.stride_tricks.sliding_window_view(close, period).mean(axis=1)
    return out


@sound
@indicator(price_degree=1, unstable=240, memory="fading")
def exponential_mean(close: Array) -> Array:
    return pd.Series(close).ewm(span=12, adjust=False).mean().to_numpy(copy=True)


@sound
@indicator(requires=lambda period: {"mean": plain_mean(period=period)})
def distance_to_mean(close: Array, mean: Array, *, period: int = 20) -> Array:
    return close / mean - 1.0


@sound
@indicator(volume_degree=1, memory="infinite")
def honest_endless_balance(close: Array, volume: Array) -> Array:
    return np.cumsum(np.sign(np.diff(close, prepend=close[0])) * volume)


@pytest.mark.parametrize("name", BAD)
def test_planted_fault_is_caught(name: str) -> None:
    """A planted fault is found, under the law that it breaks."""
    law, bad = BAD[name]
    findings = certify(bad)

    assert law in {finding.split(":")[0] for finding in findings}, findings


@pytest.mark.parametrize("name", GOOD)
def test_sound_indicator_passes(name: str) -> None:
    """A sound indicator breaks no law."""
    assert certify(GOOD[name], examples=20) == []


def test_finding_names_indicator_and_parameters() -> None:
    """A finding says which indicator broke which law, and how."""
    (finding,) = certify(BAD["dimensionless_in_dollars"][1])

    assert finding.startswith("scale: indicator 'dimensionless_in_dollars' {}")
    assert "declares price_degree=0" in finding
