"""Labels: what they are, and when they are known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from btcfs.definitions import Label
from btcfs.errors import SchemaError
from btcfs.training.labels import NEVER, labels, past_changes
from training_sets import DAY, START

PRICES = st.lists(st.floats(0.01, 1e6), min_size=0, max_size=40)
GAPS = st.lists(st.integers(1, 3), min_size=40, max_size=40)


@settings(derandomize=True, max_examples=100, deadline=None)
@given(PRICES, GAPS, st.integers(1, 5), st.sampled_from(["direction", "change"]), st.sampled_from([0.0, 1.5]))
def test_labels_equal_a_naive_loop(values: list[float], gaps: list[int], horizon: int, kind: str, least: float) -> None:
    """A label compares the close with that of so many rows later, and is known at that row's event time, not before."""
    prices = np.array(values)
    times = START + DAY * np.cumsum(gaps)[: len(prices)].astype(np.int64)

    y, known_at = labels(times, prices, Label(horizon=horizon, kind=kind, threshold=least))

    for row in range(len(values)):
        if row + horizon >= len(values):
            assert np.isnan(y[row])
            assert known_at[row] == NEVER
            continue
        percent = (values[row + horizon] / values[row] - 1) * 100
        assert y[row] == (percent if kind == "change" else float(percent > least))
        assert known_at[row] == times[row + horizon]


def test_a_missing_price_leaves_both_its_labels_unknown() -> None:
    """No label is made from a price that is missing, at either end."""
    y, known_at = labels(START + DAY * np.arange(4), np.array([1.0, np.nan, 3.0, 4.0]), Label())

    assert np.isnan(y).tolist() == [True, True, False, True]
    assert (known_at == NEVER).tolist() == [True, True, False, True]


def test_past_changes_use_no_later_row() -> None:
    """What had ended at a candle does not change when later candles do."""
    prices = np.array([1.0, 2.0, 3.0, 6.0, 7.0])
    times = START + DAY * np.arange(5)

    assert past_changes(times, prices, 2)[2:4].tolist() == [200.0, 200.0]
    assert past_changes(times[:3], prices[:3], 2)[2] == 200.0


@pytest.mark.parametrize("price", [0.0, -1.0, np.inf])
def test_an_impossible_price_is_refused(price: float) -> None:
    """A change in percent is made of finite prices above zero only."""
    with pytest.raises(SchemaError, match="finite prices above 0"):
        labels(START + DAY * np.arange(2), np.array([1.0, price]), Label())


def test_times_that_do_not_ascend_are_refused() -> None:
    """Rows out of order would make labels of the past."""
    with pytest.raises(SchemaError, match="ascending"):
        labels(np.array([2, 1]), np.array([1.0, 2.0]), Label())
