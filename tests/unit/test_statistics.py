"""The statistics of a commit equal what numpy and pandas say of the same rows."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

from btcfs import frames
from btcfs.definitions import Feature, FeatureGroup
from btcfs.pipeline.histogram import Histogram
from btcfs.pipeline.statistics import QUANTILES, SAMPLE_ROWS, STATISTICS, Profile

AT = datetime(2024, 1, 1, tzinfo=timezone.utc)


@pytest.fixture
def group() -> FeatureGroup:
    features = [
        Feature("price", unit="USD"),
        Feature("rsi", bounds=(0, 100)),
        Feature("flat"),
        Feature("note", "string"),
    ]
    return FeatureGroup("things", 1, features, interval="1d")


def rows(count: int, seed: int = 1) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    price = np.exp(random.standard_normal(count).cumsum() / 50 + 9)
    price[: count // 10] = np.nan
    return pd.DataFrame(
        {
            "price": price,
            "rsi": random.uniform(0, 100, count),
            "flat": np.full(count, 0.1),
            "note": [None, "x"] * (count // 2),
        }
    )


def profiled(group: FeatureGroup, frame: pd.DataFrame, size: int) -> pd.DataFrame:
    profile = Profile(group)
    for start in range(0, len(frame), size):
        profile.add(frame.iloc[start : start + size])
    return profile.table("c1", AT).set_index("feature")


@pytest.mark.parametrize("size", [1, 7, 500, 1000])
def test_equals_pandas_however_the_rows_are_cut(group: FeatureGroup, size: int) -> None:
    """Count, moments, extremes and quantiles are those of pandas, for any division into frames."""
    frame = rows(1000)
    table = profiled(group, frame, size)

    for name in ("price", "rsi"):
        expected = frame[name]
        assert table.loc[name, "missing"] == expected.isna().sum()
        assert table.loc[name, "mean"] == pytest.approx(expected.mean(), rel=1e-12)
        assert table.loc[name, "std"] == pytest.approx(expected.std(), rel=1e-10)
        assert table.loc[name, "min"] == expected.min()
        assert table.loc[name, "max"] == expected.max()
        for q in QUANTILES:
            assert table.loc[name, f"q{round(q * 100):02d}"] == pytest.approx(expected.quantile(q), rel=1e-12)
    assert table.loc["note", "missing"] == 500


def test_correlations_equal_pandas(group: FeatureGroup) -> None:
    """Correlations are Pearson's over complete rows; a constant column has none."""
    frame = rows(1000)
    table = profiled(group, frame, 300)

    found = json.loads(table.loc["price", "correlations"])
    expected = frame[["price", "rsi"]].dropna().corr().loc["price", "rsi"]
    assert found["rsi"] == pytest.approx(expected, abs=1e-6)
    assert found["flat"] is None


def test_histogram_counts_every_value_once_between_fixed_edges(group: FeatureGroup) -> None:
    """The bins hold each known value, and the same value falls between the same edges in every commit."""
    frame = rows(1000)
    bins = json.loads(profiled(group, frame, 1000).loc["price", "histogram"])
    known = frame["price"].dropna()

    assert sum(count for _, _, count in bins) == len(known)
    for low, high, count in bins:
        assert ((known >= low) & (known < high)).sum() == count
    other = json.loads(profiled(group, rows(500, seed=2), 500).loc["price", "histogram"])
    edges = sorted({(low, high) for low, high, _ in bins + other})
    assert all(first[1] <= second[0] for first, second in pairwise(edges))


@pytest.mark.parametrize("values", [[0.0, -0.0], [-3.5, -3.4999, 3.5], [1e-300, 5e-324], [-1e300, 1e300]])
def test_histogram_edges_enclose_their_values(values: list[float]) -> None:
    """Negative, tiny, huge and zero values lie between the edges of their bin."""
    for value in values:
        histogram = Histogram()
        histogram.add(np.array([value]))
        [(low, high, count)] = histogram.bins()
        assert count == 1
        assert low <= value <= high


def test_the_sample_is_bounded_and_independent_of_the_cut(group: FeatureGroup) -> None:
    """Beyond the sample size the quantiles come from every k-th row, whatever the frames were."""
    random = np.random.default_rng(3)
    count = 2 * SAMPLE_ROWS + 10
    frame = pd.DataFrame({"price": random.standard_normal(count), "rsi": 1.0, "flat": 1.0, "note": "x"})
    one, many = profiled(group, frame, count), profiled(group, frame, 99_991)

    assert one.loc["price", "q50"] == many.loc["price", "q50"] == np.quantile(frame["price"][::4], 0.5)


def test_the_table_fits_its_group(group: FeatureGroup) -> None:
    """Statistics are rows of an ordinary feature group."""
    table = Profile(group).table("c1", AT)

    assert len(frames.conform(STATISTICS, table)) == len(group.features)
