"""Generated candles for tests: markets that are calm, flat, silent, jumping or rounded, from a few numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs
import numpy as np
import pandas as pd

from btcfs import frames
from btcfs.pipeline.candles import CandleArrays
from btcfs.pipeline.plan import step_micros

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

    Floats = np.ndarray[Any, np.dtype[np.float64]]

START = 1_577_836_800_000_000  # 2020-01-01T00:00:00Z
_SUBSTEPS = 4
_TICKS = (0.0, 0.01, 1.0, 10.0)
_SIGMAS = (0.01, 0.001, 0.03)
_JUMPS = (1.0, 0.3, 0.5, 2.0, 3.0)


@attrs.frozen
class Market:
    """What a generated market is like; few numbers, so that a failing one is short to read.

    ``sigma`` is the spread of one candle's log return, ``tick`` the price step (0: none). From the
    row at that part of all rows, ``flat`` candles do not move, ``silent`` ones trade nothing, and
    at ``jump_at`` the price is multiplied by ``jump``.
    """

    seed: int = 0
    sigma: float = 0.01
    tick: float = 0.0
    flat: int = 0
    flat_at: float = 0.5
    silent: int = 0
    silent_at: float = 0.5
    jump: float = 1.0
    jump_at: float = 0.5

    def calm(self) -> Market:
        """The same market with nothing strange in it."""
        return Market(seed=self.seed, sigma=self.sigma)

    def other(self) -> Market:
        """A market that shares nothing with this one but its spread."""
        return Market(seed=self.seed + 1_000_003, sigma=self.sigma)

    def candles(self, rows: int, interval: str = "1h") -> CandleArrays:
        """So many candles of this market, from 2020 on."""
        rng = np.random.default_rng(self.seed)
        steps = rng.standard_t(5, (rows, _SUBSTEPS)) * (self.sigma / np.sqrt(_SUBSTEPS * 5 / 3))
        volume = rng.lognormal(1.0, 1.0, rows)
        steps[self._span(rows, self.flat_at, self.flat)] = 0.0
        volume[self._span(rows, self.silent_at, self.silent)] = 0.0
        if rows and self.jump != 1.0:
            steps[int(self.jump_at * (rows - 1)), 0] += np.log(self.jump)
        paths = 20_000.0 * np.exp(steps.cumsum().reshape(rows, _SUBSTEPS))
        if self.tick:
            paths = np.maximum(np.round(paths / self.tick), 1.0) * self.tick
        first = np.concatenate((paths[:1, 0], paths[:-1, -1]))
        with_open = np.column_stack((first, paths))
        step = step_micros(interval)
        return CandleArrays(
            START // step * step + step * np.arange(rows, dtype=np.int64),
            first,
            with_open.max(axis=1),
            with_open.min(axis=1),
            np.array(paths[:, -1]),
            volume,
            step=step,
        )

    @staticmethod
    def _span(rows: int, part: float, length: int) -> slice:
        start = int(part * rows)
        return slice(start, min(start + length, rows))


def markets() -> SearchStrategy[Market]:
    """A hypothesis strategy over markets; shrinks towards a calm one with seed 0."""
    from hypothesis import strategies as st

    part = st.floats(0.0, 1.0)
    return st.builds(
        Market,
        seed=st.integers(0, 2**20),
        sigma=st.sampled_from(_SIGMAS),
        tick=st.sampled_from(_TICKS),
        flat=st.integers(0, 40),
        flat_at=part,
        silent=st.integers(0, 60),
        silent_at=part,
        jump=st.sampled_from(_JUMPS),
        jump_at=part,
    )


def some_markets(count: int) -> list[Market]:
    """So many markets, always the same: a calm one first, then ever other strange ones."""
    rng = np.random.default_rng(20_090_103)
    strange = [
        Market(
            seed=int(rng.integers(2**20)),
            sigma=float(rng.choice(_SIGMAS)),
            tick=float(rng.choice(_TICKS)),
            flat=int(rng.integers(0, 41)),
            flat_at=float(rng.random()),
            silent=int(rng.integers(20, 61)),
            silent_at=float(rng.random()),
            jump=float(rng.choice(_JUMPS)),
            jump_at=float(rng.random()),
        )
        for _ in range(count - 1)
    ]
    return [Market(), *strange][:count]


def candle_frame(candles: CandleArrays) -> pd.DataFrame:
    """The candles as a source gives them."""
    columns = dict(zip(("open", "high", "low", "close", "volume"), candles.columns[1:], strict=True))
    return pd.DataFrame({"timestamp": frames.from_micros_array(candles.timestamp), **columns})
