"""Changes of the close over a number of candles."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import talib

from btcfs.indicators import Output, indicator
from btcfs_ta.engine import talib_version

if TYPE_CHECKING:
    Floats = np.ndarray[Any, np.dtype[np.float64]]

_KAUFMAN = "Kaufman (2013), Trading Systems and Methods, 5th ed., ch. 9"
_CAMPBELL = "Campbell, Lo, MacKinlay (1997), The Econometrics of Financial Markets, ch. 1.4"


@indicator(
    outputs=Output(
        "return", "ratio", description="Change of the close over so many candles, as a part of the old close."
    ),
    lookback=lambda period: period,
    version=talib_version(),
    source=_CAMPBELL,
)
def simple_return(close: Floats, *, period: int = 1) -> Floats:
    """Simple return: ``close / close[period candles ago] - 1``."""
    return np.asarray(talib.ROCP(close, period))


@indicator(unit="log ratio", lookback=lambda period: period, version=talib_version(), source=_CAMPBELL)
def log_return(close: Floats, *, period: int = 1) -> Floats:
    """Logarithmic return: ``ln(close / close[period candles ago])``."""
    out = np.full(len(close), np.nan)
    if len(close) > period:
        out[period:] = talib.LN(close[period:] / close[:-period])
    return out


@indicator(unit="USD", price_degree=1, lookback=lambda period: period, version=talib_version(), source=_KAUFMAN)
def momentum(close: Floats, *, period: int = 10) -> Floats:
    """Momentum: ``close - close[period candles ago]``."""
    return np.asarray(talib.MOM(close, period))


@indicator(
    outputs=Output(
        "roc", "percent", description="Change of the close over so many candles, in percent of the old close."
    ),
    lookback=lambda period: period,
    version=talib_version(),
    source=_KAUFMAN,
)
def rate_of_change(close: Floats, *, period: int = 10) -> Floats:
    """Rate of change: ``100 * (close / close[period candles ago] - 1)``."""
    return np.asarray(talib.ROC(close, period))
