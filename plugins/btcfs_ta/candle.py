"""The candle itself: its prices and its volume, as features."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from btcfs.indicators import indicator

if TYPE_CHECKING:
    Floats = np.ndarray[Any, np.dtype[np.float64]]


@indicator(unit="USD", price_degree=1, source="the candle")
def open(open: Floats) -> Floats:
    """First price of the candle."""
    return np.array(open)


@indicator(unit="USD", price_degree=1, source="the candle")
def high(high: Floats) -> Floats:
    """Highest price of the candle."""
    return np.array(high)


@indicator(unit="USD", price_degree=1, source="the candle")
def low(low: Floats) -> Floats:
    """Lowest price of the candle."""
    return np.array(low)


@indicator(unit="USD", price_degree=1, source="the candle")
def close(close: Floats) -> Floats:
    """Last price of the candle."""
    return np.array(close)


@indicator(unit="BTC", volume_degree=1, source="the candle")
def volume(volume: Floats) -> Floats:
    """Base currency traded in the candle."""
    return np.array(volume)
