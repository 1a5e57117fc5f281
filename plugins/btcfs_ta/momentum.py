"""Momentum: oscillators that say where the price stands in its recent moves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import talib

from btcfs.indicators import Memory, Output, indicator
from btcfs_ta.engine import SIMPLE, talib_version
from btcfs_ta.trend import wilder_settling

if TYPE_CHECKING:
    Floats = np.ndarray[Any, np.dtype[np.float64]]


@indicator(
    unit="percent",
    bounds=(0, 100),
    lookback=lambda period: period,
    unstable=wilder_settling,
    memory=Memory.FADING,
    version=talib_version(),
    source="Wilder (1978), New Concepts in Technical Trading Systems, section 6",
)
def rsi(close: Floats, *, period: int = 14) -> Floats:
    """Relative strength index of the close."""
    return np.asarray(talib.RSI(close, period))


@indicator(
    outputs=(
        Output(
            "stoch_k", "percent", (0, 100), description="Place of the close in the range of so many candles, mean of 3."
        ),
        Output("stoch_d", "percent", (0, 100), description="Mean of the last 3 stoch_k."),
    ),
    lookback=lambda period, smooth: period + 2 * smooth - 3,
    named=("period",),
    version=talib_version(),
    source="Lane (1984), Lane's Stochastics, Technical Analysis of Stocks & Commodities 2(3)",
)
def stochastic(high: Floats, low: Floats, close: Floats, *, period: int = 14, smooth: int = 3) -> tuple[Floats, ...]:
    """Slow stochastic oscillator; 0 where the range is empty."""
    return tuple(talib.STOCH(high, low, close, period, smooth, SIMPLE, smooth, SIMPLE))


@indicator(
    unit="percent",
    bounds=(-100, 0),
    lookback=lambda period: period - 1,
    version=talib_version(),
    source="Williams (1973), How I Made One Million Dollars Last Year Trading Commodities",
)
def williams_r(high: Floats, low: Floats, close: Floats, *, period: int = 14) -> Floats:
    """Williams' %R: distance of the close below the highest high, in percent of the range; 0 where that is empty."""
    return np.asarray(talib.WILLR(high, low, close, period))


@indicator(
    unit="1",
    lookback=lambda period: period - 1,
    version=talib_version(),
    source="Lambert (1980), Commodity Channel Index, Commodities (Futures) 9(10)",
)
def cci(high: Floats, low: Floats, close: Floats, *, period: int = 20) -> Floats:
    """Commodity channel index: distance of the typical price from its mean, in 0.015 mean deviations; 0 where that is 0."""
    return np.asarray(talib.CCI(high, low, close, period))


@indicator(
    unit="percent",
    bounds=(0, 100),
    lookback=lambda period: period,
    version=talib_version(),
    source="Quong, Soudack (1989), Volume-Weighted RSI: Money Flow, Technical Analysis of Stocks & Commodities 7(3)",
)
def mfi(high: Floats, low: Floats, close: Floats, volume: Floats, *, period: int = 14) -> Floats:
    """Money flow index: rising money flow as a part of all; 0 where less than one unit of quote currency was traded."""
    return np.asarray(talib.MFI(high, low, close, volume, period))
