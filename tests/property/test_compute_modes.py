"""The three modes of computing give the same bits, for all indicators, chunk sizes, gaps and market conditions."""

from __future__ import annotations

import attrs
import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from btcfs.instants import from_micros
from btcfs.pipeline.candles import CandleArrays
from btcfs.pipeline.compute import FeatureBlock, compute, compute_new, compute_stream
from btcfs.pipeline.plan import plan
from btcfs.plugins import installed_plugins
from btcfs.testing.synthetic import Market, candle_frame, markets

ROWS = 3000
HOURLY = attrs.evolve(plan(installed_plugins().indicators(), "1h"), segment=200)
bounded = settings(
    max_examples=12, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow], database=None
)


def gapped(market: Market, seed: int) -> CandleArrays:
    """A market in which some candles and one longer stretch are missing."""
    rng = np.random.default_rng(seed)
    there = rng.random(ROWS) > rng.choice([0.0, 0.001, 0.05])
    hole = rng.integers(ROWS)
    there[hole : hole + rng.integers(40)] = False
    whole = market.candles(ROWS)
    return CandleArrays(*(column[there] for column in whole.columns), step=whole.step)


def assert_same(part: FeatureBlock, whole: FeatureBlock, first: int) -> None:
    assert part.timestamps.tolist() == whole.timestamps[first : first + len(part)].tolist()
    for one, all_rows in zip(part.columns, whole.columns, strict=True):
        np.testing.assert_array_equal(one, all_rows[first : first + len(part)])


@bounded
@given(markets(), st.integers(0, 1000), st.lists(st.integers(1, 900), min_size=1, max_size=20))
def test_stream_in_any_chunks_equals_history(market: Market, seed: int, sizes: list[int]) -> None:
    """However a history is cut into frames, the stream gives its bits."""
    candles = gapped(market, seed)
    ends = np.minimum(np.cumsum([0, *sizes, ROWS]), len(candles))
    whole = compute(HOURLY, candles)

    pieces = (candle_frame(candles.rows(ends[i], ends[i + 1])) for i in range(len(ends) - 1))
    first = 0
    for block in compute_stream(HOURLY, pieces):
        assert_same(block, whole, first)
        first += len(block)

    assert first == len(candles)


@bounded
@given(markets(), st.integers(0, 1000), st.integers(1, ROWS - 200), st.integers(1, 100))
def test_new_candles_on_cut_history_equal_history(market: Market, seed: int, known: int, count: int) -> None:
    """New candles after a history cut to what is needed get the bits of the whole history."""
    candles = gapped(market, seed)
    known = min(known, len(candles) - count)
    needed = HOURLY.first_needed_micros(int(candles.timestamp[known]))

    history = candles.rows(0, known).since(needed)
    assert_same(compute_new(HOURLY, history, candles.rows(known, known + count)), compute(HOURLY, candles), known)


@bounded
@given(markets(), st.integers(0, 1000), st.integers(0, ROWS - 200))
def test_part_of_history_equals_history(market: Market, seed: int, row: int) -> None:
    """A range computed alone, from the candles it needs, has the bits it has in the whole."""
    candles = gapped(market, seed)
    row = min(row, len(candles) - 1)
    start = from_micros(candles.timestamp[row])

    alone = compute(HOURLY, candles.since(HOURLY.first_needed_micros(int(candles.timestamp[row]))), start)
    assert_same(alone, compute(HOURLY, candles), row)


@bounded
@given(markets(), st.integers(0, 1000), st.integers(0, ROWS - 200))
def test_a_change_reaches_as_far_as_said(market: Market, seed: int, row: int) -> None:
    """A changed candle changes no row before itself and none from its reach on."""
    candles = gapped(market, seed)
    row = min(row, len(candles) - 1)
    close = candles.close.copy()
    close[row] *= 1.01
    columns = [candles.timestamp, candles.open, candles.high, candles.low, close, candles.volume]
    before, after = compute(HOURLY, candles), compute(HOURLY, CandleArrays(*columns, step=candles.step))

    end = int(
        np.searchsorted(candles.timestamp, int(HOURLY.reach(from_micros(candles.timestamp[row])).timestamp() * 1e6))
    )
    for old, new in zip(before.columns, after.columns, strict=True):
        np.testing.assert_array_equal(old[:row], new[:row])
        np.testing.assert_array_equal(old[end:], new[end:])
