"""What a model is to predict, and from which instant on the answer is known."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from btcfs.errors import SchemaError
from btcfs.instants import from_micros

if TYPE_CHECKING:
    from btcfs.definitions import Label

Floats = np.ndarray[Any, np.dtype[np.float64]]
Integers = np.ndarray[Any, np.dtype[np.int64]]

NEVER = np.iinfo(np.int64).max  # the known_at of a label that no stored candle settles


def changes(times: Integers, prices: Floats, horizon: int) -> tuple[Floats, Integers]:
    """The move from each candle to the one ``horizon`` rows later, in percent, and when it is known.

    ``times`` are the candles' event times, ascending, in microseconds. The last ``horizon`` rows
    and those beside a missing price are NaN and known ``NEVER``. SchemaError for times that do not
    ascend and for a price that is not positive.
    """
    _check(times, prices)
    values = np.full(len(prices), np.nan)
    known_at = np.full(len(prices), NEVER, dtype=np.int64)
    ahead = max(len(prices) - horizon, 0)
    values[:ahead] = (prices[horizon:] / prices[:ahead] - 1.0) * 100.0
    known = np.flatnonzero(~np.isnan(values))
    known_at[known] = times[known + horizon]
    return values, known_at


def past_changes(times: Integers, prices: Floats, horizon: int) -> Floats:
    """The move that ended at each candle, over as many rows, in percent: what was known then. NaN in the first rows."""
    _check(times, prices)
    values = np.full(len(prices), np.nan)
    values[horizon:] = (prices[horizon:] / prices[: max(len(prices) - horizon, 0)] - 1.0) * 100.0
    return values


def directions(change: Floats, threshold: float) -> Floats:
    """1.0 where the change in percent exceeds the threshold, 0.0 where not, NaN where it is unknown."""
    return np.where(np.isnan(change), np.nan, (change > threshold).astype(np.float64))


def labels(times: Integers, prices: Floats, label: Label) -> tuple[Floats, Integers]:
    """The label of each candle and the microsecond from which on it is known; otherwise as ``changes``.

    A direction is 1.0 or 0.0, a change is in percent.
    """
    change, known_at = changes(times, prices, label.horizon)
    return (change if label.kind == "change" else directions(change, label.threshold)), known_at


def _check(times: Integers, prices: Floats) -> None:
    if len(times) != len(prices):
        raise SchemaError(f"{len(times)} times for {len(prices)} prices; a label needs one price a candle")
    if (np.diff(times) <= 0).any():
        row = int((np.diff(times) <= 0).argmax()) + 1
        raise SchemaError(
            f"candle {row} closes {from_micros(times[row])}, not after the one before it; expected ascending times"
        )
    wrong = ~np.isnan(prices) & ~((prices > 0) & np.isfinite(prices))
    if wrong.any():
        row = int(wrong.argmax())
        raise SchemaError(
            f"the price known at {from_micros(times[row])} is {prices[row]}; a change in percent needs finite prices above 0"
        )
