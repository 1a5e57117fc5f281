"""Volume: how much was traded, in which direction, and at what price on average."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from btcfs.indicators import Indicator, indicator
from btcfs_ta.windows import ratio, window_sum

if TYPE_CHECKING:
    Floats = np.ndarray[Any, np.dtype[np.float64]]

_GRANVILLE = "Granville (1963), New Key to Stock Market Profits; windowed, as the running total depends on its start"
_BERKOWITZ = "Berkowitz, Logue, Noser (1988), The Total Cost of Transactions on the NYSE, Journal of Finance 43(1)"
_MURPHY = "Murphy (1999), Technical Analysis of the Financial Markets, ch. 7"


@indicator(unit="BTC", volume_degree=1, lookback=lambda period: period, source=_GRANVILLE)
def obv(close: Floats, volume: Floats, *, period: int = 20) -> Floats:
    """On-balance volume of the window: volume of rising less volume of falling candles."""
    out = np.full(len(close), np.nan)
    if len(close) > period:
        signed = np.sign(close[1:] - close[:-1]) * volume[1:]
        out[1:] = window_sum(signed, period)
    return out


@indicator(unit="BTC", volume_degree=1, lookback=lambda period: period - 1, source=_MURPHY)
def volume_sma(volume: Floats, *, period: int = 20) -> Floats:
    """Simple moving average of the volume; exactly 0 where nothing was traded."""
    return window_sum(volume, period) / period


def _mean(period: int) -> Mapping[str, Indicator]:
    return {"mean": volume_sma(period=period)}


@indicator(unit="ratio", requires=_mean, source=_MURPHY)
def volume_ratio(volume: Floats, mean: Floats, *, period: int = 20) -> Floats:
    """Volume as a multiple of its moving average; 1 where the whole window has none."""
    return ratio(volume, mean, otherwise=1.0)


@indicator(unit="USD", price_degree=1, lookback=lambda period: period - 1, source=_BERKOWITZ)
def vwap(high: Floats, low: Floats, close: Floats, volume: Floats, *, period: int = 20) -> Floats:
    """Volume-weighted average of the typical price over the window; the close where the whole window has no volume."""
    traded = window_sum(volume, period)
    weighted = window_sum((high + low + close) / 3.0 * volume, period)
    return ratio(weighted, traded, otherwise=close)
