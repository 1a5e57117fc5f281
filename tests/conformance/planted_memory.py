"""Indicators that look ahead, remember too much or declare too little."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import talib

from btcfs.indicators import indicator
from conformance.planting import Array, Faults, planting, rolling

BAD: Faults = {}
planted = planting(BAD)


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
