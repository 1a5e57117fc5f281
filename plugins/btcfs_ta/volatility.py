"""Volatility: bands, true ranges and the spread of returns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import talib

from btcfs.indicators import Indicator, Memory, Output, indicator
from btcfs_ta.engine import SIMPLE, talib_version
from btcfs_ta.returns import log_return
from btcfs_ta.trend import wilder_settling
from btcfs_ta.windows import ratio

if TYPE_CHECKING:
    Floats = np.ndarray[Any, np.dtype[np.float64]]

_BOLLINGER = "Bollinger (2001), Bollinger on Bollinger Bands"
_WILDER = "Wilder (1978), New Concepts in Technical Trading Systems, section 3"


@indicator(
    outputs=(
        Output("bb_upper", "USD", price_degree=1, description="Mean plus so many standard deviations of the close."),
        Output("bb_lower", "USD", price_degree=1, description="Mean less so many standard deviations of the close."),
        Output("bb_width", "ratio", description="Distance between the bands, as a part of the mean."),
        Output("bb_percent_b", "ratio", description="Place of the close between the bands; 0.5 where they are one."),
    ),
    lookback=lambda period: period - 1,
    named=("period",),
    rtol=1e-7,  # running sums of squared prices: good to that much after a fall of 70 %
    version=talib_version(),
    source=_BOLLINGER,
)
def bollinger(close: Floats, *, period: int = 20, deviations: float = 2.0) -> tuple[Floats, ...]:
    """Bollinger bands around the simple moving average, with the population's standard deviation."""
    upper, middle, lower = talib.BBANDS(close, period, deviations, deviations, SIMPLE)
    distance = upper - lower
    return upper, lower, distance / middle, ratio(close - lower, distance, otherwise=0.5)


@indicator(
    unit="USD",
    price_degree=1,
    lookback=lambda period: period,
    unstable=wilder_settling,
    memory=Memory.FADING,
    version=talib_version(),
    source=_WILDER,
)
def atr(high: Floats, low: Floats, close: Floats, *, period: int = 14) -> Floats:
    """Average true range, smoothed as Wilder does; the first candle, having no predecessor, has no true range."""
    return np.asarray(talib.ATR(high, low, close, period))


def _range(period: int) -> Mapping[str, Indicator]:
    return {"true_range": atr(period=period)}


@indicator(unit="percent", requires=_range, version=talib_version(), source=_WILDER)
def natr(close: Floats, true_range: Floats, *, period: int = 14) -> Floats:
    """Average true range in percent of the close."""
    return 100.0 * (true_range / close)


def _returns(period: int) -> Mapping[str, Indicator]:
    return {"change": log_return(period=1)}


@indicator(
    unit="log ratio",
    requires=_returns,
    lookback=lambda period: period - 1,
    version=talib_version(),
    source="Hull (2018), Options, Futures, and Other Derivatives, 10th ed., ch. 15.4",
)
def volatility(change: Floats, *, period: int = 20) -> Floats:
    """Sample standard deviation of the log returns, per candle, not annualised."""
    population = talib.STDDEV(change, period)
    return np.asarray(population * np.sqrt(period / (period - 1)))


@indicator(unit="ratio", source="the candle")
def range_pct(high: Floats, low: Floats, close: Floats) -> Floats:
    """Range of the candle, as a part of its close."""
    return (high - low) / close
