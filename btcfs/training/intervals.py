"""How uncertain a score is: Wilson and block-bootstrap intervals, a test of loss differences, and the rows needed."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import Any

import attrs
import numpy as np

from btcfs.training.labels import Floats, Integers

_NORMAL = NormalDist()


@attrs.frozen
class Interval:
    """A value and the bounds it lies between with the stated confidence."""

    value: float
    low: float
    high: float

    def contains(self, value: float) -> bool:
        return self.low <= value <= self.high

    def to_dict(self) -> dict[str, float]:
        return attrs.asdict(self)


def wilson(successes: float, rows: int, confidence: float = 0.95) -> Interval:
    """The score interval of a share of independent rows. Source: Wilson (1927)."""
    if not rows:
        return Interval(math.nan, 0.0, 1.0)
    z = _NORMAL.inv_cdf(0.5 + confidence / 2)
    share = successes / rows
    scale = 1 + z * z / rows
    middle = (share + z * z / (2 * rows)) / scale
    half = z * math.sqrt(share * (1 - share) / rows + z * z / (4 * rows * rows)) / scale
    return Interval(share, max(0.0, middle - half), min(1.0, middle + half))


def block_length(rows: int, horizon: int) -> int:
    """Rows that are drawn together: the cube root of all, and no fewer than two overlapping labels span."""
    return int(max(1, min(rows, max(round(rows ** (1 / 3)), 2 * horizon))))


@attrs.frozen(eq=False)
class Resampling:
    """Resampled series: blocks of consecutive rows, drawn with replacement and put end to end.

    ``starts`` is (draws, blocks a series). Source: Künsch (1989), the moving-block bootstrap.
    """

    rows: int
    block: int
    starts: Integers

    @classmethod
    def of(cls, rows: int, block: int, draws: int = 2000, seed: int = 0) -> Resampling:
        """So many series of that length; the same seed gives the same ones."""
        starts = np.random.default_rng(seed).integers(0, rows - block + 1, size=(draws, -(-rows // block)))
        return cls(rows, block, starts)

    def means(self, values: Floats) -> Floats:
        """The mean of per-row values in each resampled series; memory goes with the blocks, not the rows."""
        sums = np.concatenate(([0.0], np.cumsum(values)))
        whole = (sums[self.starts + self.block] - sums[self.starts]).sum(axis=1)
        over = self.starts.shape[1] * self.block - self.rows
        last = self.starts[:, -1] + self.block
        means: Floats = (whole - (sums[last] - sums[last - over])) / self.rows
        return means

    def series(self, draw: int) -> Integers:
        """The row numbers of one resampled series."""
        return np.asarray((self.starts[draw][:, None] + np.arange(self.block)).ravel()[: self.rows])

    def mean(self, values: Floats, confidence: float = 0.95) -> Interval:
        """The mean of per-row values and its percentile bounds."""
        return percentiles(float(values.mean()), self.means(values), confidence)


def percentiles(value: float, drawn: Floats, confidence: float = 0.95) -> Interval:
    """A value with the bounds that hold the middle part of what the resampled series gave."""
    tail = (1 - confidence) / 2
    low, high = np.nanquantile(drawn, (tail, 1 - tail)) if not np.isnan(drawn).all() else (math.nan, math.nan)
    return Interval(value, float(low), float(high))


def chance_of_mean(values: Floats, lags: int) -> float:
    """The chance of a mean as high as this one's or higher if the true one were 0.

    Neighbouring values may depend on each other, over so many rows. Source: Diebold and Mariano
    (1995) for loss differences, with the long-run variance of Newey and West (1987).
    """
    rows = len(values)
    centred = values - values.mean()
    variance = float(centred @ centred) / rows
    for lag in range(1, min(lags, rows - 1) + 1):
        variance += 2 * (1 - lag / (lags + 1)) * float(centred[lag:] @ centred[:-lag]) / rows
    if variance <= 0.0:
        return 0.5 if values.mean() == 0.0 else float(values.mean() < 0.0)
    return 1.0 - _NORMAL.cdf(float(values.mean()) / math.sqrt(variance / rows))


def chance_of_agreement(forecast: Floats, outcome: Floats, lags: int) -> float:
    """The chance that forecasts go with outcomes as much as these do, or more, if they knew nothing of them.

    For directions this asks what Pesaran and Timmermann (1992) ask.
    """
    return chance_of_mean((forecast - forecast.mean()) * (outcome - outcome.mean()), lags)


def rows_needed(rate: float, base: float, significance: float = 0.05, power: float = 0.8) -> int | None:
    """Rows that tell a true hit rate from a base rate, one-sided; None if it is not above the base.

    Source: the normal approximation of a one-sample test of a proportion.
    """
    if rate <= base:
        return None
    alpha, beta = _NORMAL.inv_cdf(1 - significance), _NORMAL.inv_cdf(power)
    spread = alpha * math.sqrt(base * (1 - base)) + beta * math.sqrt(rate * (1 - rate))
    return math.ceil((spread / (rate - base)) ** 2)


def smallest_edge(rows: int, base: float, significance: float = 0.05, power: float = 0.8) -> float:
    """The smallest true hit rate that so many rows tell from the base rate; 1.0 if none."""
    low, high = base, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        needed = rows_needed(middle, base, significance, power)
        low, high = (middle, high) if needed is None or needed > rows else (low, middle)
    return high


def chance_of(hits: int, rows: int, rate: float) -> float:
    """The chance of at least so many hits in so many independent rows, each right with that rate."""
    if hits <= 0:
        return 1.0
    if not 0.0 < rate < 1.0:
        return float(rate >= 1.0)
    log_p, log_q = math.log(rate), math.log1p(-rate)
    whole = math.lgamma(rows + 1)
    terms: Any = (
        math.exp(whole - math.lgamma(k + 1) - math.lgamma(rows - k + 1) + k * log_p + (rows - k) * log_q)
        for k in range(hits, rows + 1)
    )
    return min(1.0, math.fsum(terms))
