"""The arithmetic of the synthetic market: any block of candles as a pure function of its number.

The logarithm of the price is an Ornstein-Uhlenbeck process, sampled at block borders by halving
a span of centuries until the border is met (each half's middle is drawn given its two ends), so
that no block needs the ones before it. Within a block, returns are Gaussian with a volatility that
is a cascade of scales, and are bent to end at the next border's price.
"""

from __future__ import annotations

import math
from typing import Any

import attrs
import numpy as np

Floats = np.ndarray[Any, np.dtype[np.float64]]
Ints = np.ndarray[Any, np.dtype[np.int64]]
Words = np.ndarray[Any, np.dtype[np.uint64]]
Candles = list[Floats]

MICROS_PER_DAY = 86_400_000_000
LAST_INSTANT = 130 * 365 * MICROS_PER_DAY  # the year 2099
_YEAR = 365 * MICROS_PER_DAY
_TICK = 100.0  # ticks per unit of the quote currency

_LEVEL = math.log(30_000.0)
_DAILY_VOLATILITY = 0.035
_REVERSION = math.log(2.0) / 2.0  # per year: half of a deviation is gone after two years
_SPREAD = _DAILY_VOLATILITY * math.sqrt(365.0 / (2.0 * _REVERSION))
_SCALES = (4, 16, 64, 256, 1024)  # bars between the knots of each layer of the volatility
_LAYER = 0.3
_MASK = (1 << 64) - 1


@attrs.frozen
class Market:
    """A market's key, which all its random numbers follow from, and its candles' length in microseconds."""

    key: int
    step: int


def grid_origin(step: int) -> int:
    """Where the grid of open times begins: weeks on a Monday, all else at the epoch."""
    return 4 * MICROS_PER_DAY if step % (7 * MICROS_PER_DAY) == 0 else 0


def block_size(step: int) -> int:
    """Bars in a block: a power of two, at most 4096 and at most a year, at least 8."""
    return max(8, min(4096, 1 << max(0, (_YEAR // step).bit_length() - 1)))


def candle_block(market: Market, block: int) -> Candles:
    """Open, high, low, close, volume and quote volume of a whole block, each an array of its size."""
    size = block_size(market.step)
    random = np.random.Generator(np.random.Philox(key=[market.key, block & _MASK]))
    shocks, activity = random.standard_normal((2, size))
    lifts = -2.0 * np.log1p(-random.random((2, size)))
    sigma = _DAILY_VOLATILITY * math.sqrt(market.step / MICROS_PER_DAY) * _volatility(market, block * size, size)

    path = _bridge(sigma, shocks, border(market, block), border(market, block + 1))
    before, after = path[:-1], path[1:]
    # The extremes of Brownian motion between two known ends, each by itself: Karatzas and Shreve (1991), 2.8.
    reach = np.sqrt((after - before) ** 2 + sigma**2 * lifts)
    opens, highs, lows, closes = (
        np.round(np.exp(logs) * _TICK) / _TICK
        for logs in (before, (before + after + reach[0]) / 2, (before + after - reach[1]) / 2, after)
    )
    size_of_move = np.abs(after - before) / sigma
    days = market.step / MICROS_PER_DAY
    volume = 5_000.0 * days * np.exp(0.5 * activity + 0.3 * size_of_move) * (sigma / sigma.mean()) ** 0.5
    volume = np.maximum(np.round(volume, 8), 1e-8)
    quote = volume * ((opens + highs + lows + closes) / 4)
    return [opens, np.maximum(highs, opens), np.maximum(lows, 1 / _TICK), closes, volume, quote]


def border(market: Market, block: int) -> float:
    """The logarithm of the price where a block begins."""
    length = block_size(market.step) * market.step / _YEAR
    span = 1 << max(1, math.ceil(math.log2(2 * LAST_INSTANT / _YEAR / length)))
    at_low, at_high = map(float, _SPREAD * _normals(market.key, 1, np.array([0, span])))
    if block in (0, span):
        return _LEVEL + (at_low if block == 0 else at_high)
    middles = _halvings(block, span)
    half = span * length * _REVERSION
    value = 0.0
    for middle, normal in zip(middles, _normals(market.key, 2, np.array(middles)).tolist(), strict=True):
        half /= 2
        pull = 1.0 / math.cosh(half) if half < 300 else 0.0
        value = (at_low + at_high) / 2.0 * pull + _SPREAD * math.sqrt(math.tanh(half)) * normal
        if block < middle:
            at_high = value
        else:
            at_low = value
    return _LEVEL + value


def _halvings(block: int, span: int) -> list[int]:
    """The middles met on the way down from ``[0, span]`` to the block, which is the last of them."""
    low, high, middles = 0, span, [span // 2]
    while middles[-1] != block:
        low, high = (low, middles[-1]) if block < middles[-1] else (middles[-1], high)
        middles.append((low + high) // 2)
    return middles


def _bridge(sigma: Floats, shocks: Floats, begin: float, end: float) -> Floats:
    """A random path of independent steps, given where it begins and ends: n steps, n + 1 points."""
    steps = sigma * shocks
    variance = sigma**2
    steps += variance * ((end - begin - steps.sum()) / variance.sum())
    path = np.empty(len(steps) + 1)
    path[0] = begin
    np.cumsum(steps, out=path[1:])
    path[1:] += begin
    path[-1] = end
    return path


def _volatility(market: Market, first: int, count: int) -> Floats:
    """Each bar's volatility relative to the usual one: the root of its mean square is 1."""
    bars = np.arange(first, first + count, dtype="float64")
    log = np.zeros(count)
    for layer, scale in enumerate(_SCALES):
        knots = np.arange(first // scale, (first + count) // scale + 2)
        log += _LAYER * np.interp(bars / scale, knots, _normals(market.key, 3 + layer, knots))
    return np.exp(log - len(_SCALES) * _LAYER**2 * 2 / 3)


def _normals(key: int, stream: int, counters: Ints) -> Floats:
    """Standard normal numbers, each a function of the key, the stream and its counter: Box and Muller (1958)."""
    seed = int(_mix(np.array([key], dtype="uint64"))[0]) ^ stream
    words = _mix(_mix(np.array([seed], dtype="uint64")) ^ counters.astype("uint64"))
    first = ((words >> np.uint64(11)).astype("float64") + 1.0) * 2.0**-53
    second = (_mix(words) >> np.uint64(11)).astype("float64") * 2.0**-53
    return np.asarray(np.sqrt(-2.0 * np.log(first)) * np.cos(2.0 * np.pi * second))


def _mix(words: Words) -> Words:
    """A well-scattered 64-bit word for each 64-bit word: the finaliser of SplitMix64, Steele et al. (2014)."""
    words = words + np.uint64(0x9E3779B97F4A7C15)
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(words ^ (words >> np.uint64(31)))
