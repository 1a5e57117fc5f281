"""Trend: moving averages, their convergence, and directional movement."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import talib

from btcfs.indicators import Indicator, IndicatorFamily, Memory, Output, indicator
from btcfs_ta.engine import talib_version

if TYPE_CHECKING:
    Floats = np.ndarray[Any, np.dtype[np.float64]]

_MURPHY = "Murphy (1999), Technical Analysis of the Financial Markets, ch. 9"
_APPEL = "Appel (2005), Technical Analysis: Power Tools for Active Investors, ch. 8"
_WILDER = "Wilder (1978), New Concepts in Technical Trading Systems, section 4"


def ema_settling(period: int) -> int:
    """Rows after which the start of an exponential average no longer shows: (period-1)/(period+1) to that power is 4e-11."""
    return 12 * (period + 1)


def wilder_settling(period: int) -> int:
    """Rows after which the start of Wilder's smoothing no longer shows; 25 periods were too few after a fall of 70 %."""
    return 30 * period


@indicator(unit="USD", price_degree=1, lookback=lambda period: period - 1, version=talib_version(), source=_MURPHY)
def sma(close: Floats, *, period: int = 20) -> Floats:
    """Simple moving average of the close."""
    return np.asarray(talib.SMA(close, period))


@indicator(
    unit="USD",
    price_degree=1,
    lookback=lambda period: period - 1,
    unstable=ema_settling,
    memory=Memory.FADING,
    version=talib_version(),
    source=_MURPHY,
)
def ema(close: Floats, *, period: int = 20) -> Floats:
    """Exponential moving average of the close, factor 2/(period+1), started from the simple average of the first period."""
    return np.asarray(talib.EMA(close, period))


def _mean(period: int) -> Mapping[str, Indicator]:
    return {"mean": sma(period=period)}


@indicator(unit="ratio", requires=_mean, version=talib_version(), source=_MURPHY)
def close_to_sma(close: Floats, mean: Floats, *, period: int = 20) -> Floats:
    """Distance of the close from its simple moving average: ``close / sma - 1``."""
    return close / mean - 1.0


@indicator(
    outputs=(
        Output("macd", "USD", price_degree=1, description="Fast less slow exponential average of the close."),
        Output("macd_signal", "USD", price_degree=1, description="Exponential average of the MACD line."),
        Output("macd_hist", "USD", price_degree=1, description="MACD line less its signal."),
    ),
    lookback=lambda slow, signal: slow + signal - 2,
    unstable=lambda slow, signal: ema_settling(slow) + ema_settling(signal),
    memory=Memory.FADING,
    version=talib_version(),
    source=_APPEL,
)
def macd(close: Floats, *, fast: int = 12, slow: int = 26, signal: int = 9) -> tuple[Floats, ...]:
    """Moving average convergence and divergence; both averages start together, the line is shown once the signal exists."""
    return tuple(talib.MACD(close, fast, slow, signal))


def _directional(lookback: Callable[[int], int]) -> Callable[[Callable[..., Floats]], IndicatorFamily]:
    """What Wilder's three directional measures have in common: percent, smoothed, from one book."""
    return indicator(
        bounds=(0, 100),
        unit="percent",
        lookback=lookback,
        unstable=wilder_settling,
        memory=Memory.FADING,
        version=talib_version(),
        source=_WILDER,
    )


@_directional(lambda period: 2 * period - 1)
def adx(high: Floats, low: Floats, close: Floats, *, period: int = 14) -> Floats:
    """Average directional index: how strong a trend is, in either direction."""
    return np.asarray(talib.ADX(high, low, close, period))


@_directional(lambda period: period)
def plus_di(high: Floats, low: Floats, close: Floats, *, period: int = 14) -> Floats:
    """Positive directional indicator: upward movement as a part of the true range."""
    return np.asarray(talib.PLUS_DI(high, low, close, period))


@_directional(lambda period: period)
def minus_di(high: Floats, low: Floats, close: Floats, *, period: int = 14) -> Floats:
    """Negative directional indicator: downward movement as a part of the true range."""
    return np.asarray(talib.MINUS_DI(high, low, close, period))
