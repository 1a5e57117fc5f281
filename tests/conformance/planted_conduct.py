"""Indicators that are impure, malformed, or wrong in what they say of their numbers."""

from __future__ import annotations

import itertools
import time
from typing import Any

import numpy as np
import pandas as pd

from btcfs.indicators import Output, indicator
from conformance.planting import Array, Faults, planting, rolling

BAD: Faults = {}
planted = planting(BAD)


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
