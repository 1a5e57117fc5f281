"""Indicators without a fault."""

from __future__ import annotations

import numpy as np
import pandas as pd

from btcfs.indicators import Indicator, IndicatorFamily, indicator
from conformance.planting import Array

GOOD: dict[str, Indicator] = {}


def sound(family: IndicatorFamily) -> IndicatorFamily:
    GOOD[family.name] = family()
    return family


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
