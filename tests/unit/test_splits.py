"""Splits: what a fold may learn from."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from btcfs.errors import ConfigError, InsufficientHistory
from btcfs.training.splits import label_span, walk_forward
from training_sets import DAY, START


@settings(derandomize=True, max_examples=60, deadline=None)
@given(
    rows=st.integers(300, 700),
    horizon=st.integers(1, 20),
    folds=st.integers(1, 12),
    test_size=st.floats(0.05, 0.4),
    missing=st.sets(st.integers(1, 280), max_size=30),
)
def test_no_fold_learns_from_what_was_not_known(
    rows: int, horizon: int, folds: int, test_size: float, missing: set[int]
) -> None:
    """Every label a fold is fitted on was known, with the embargo, before its first test row is decided."""
    times = START + DAY * np.array([i for i in range(rows + horizon) if i not in missing], dtype=np.int64)
    events, known_at = times[:-horizon], times[horizon:]

    split = walk_forward(events, known_at, test_size=test_size, folds=folds)

    assert split.embargo >= horizon * DAY
    for fold in (*split.folds, split.holdout):
        first = events[fold.test[0]]
        assert (known_at[fold.train] + split.embargo <= first).all()
        # and nothing that could have been learned from is left out without being counted
        allowed = [i for i in range(int(fold.test[0])) if known_at[i] + split.embargo <= first]
        assert fold.train.tolist() == allowed
        assert len(fold.train) + fold.purged + fold.embargoed == fold.test[0]


@settings(derandomize=True, max_examples=40, deadline=None)
@given(rows=st.integers(200, 900), folds=st.integers(1, 12), test_size=st.floats(0.05, 0.4))
def test_tests_follow_each_other_and_end_at_the_seal(rows: int, folds: int, test_size: float) -> None:
    """The folds test each row after the first training once, in order, and none that is sealed."""
    times = START + DAY * np.arange(rows + 1)

    split = walk_forward(times[:-1], times[1:], test_size=test_size, folds=folds)

    tested = split.tested
    assert (np.diff(tested) == 1).all()
    assert tested[-1] + 1 == split.holdout.test[0]
    assert split.holdout.test[-1] == rows - 1
    assert len(split.holdout.test) == max(1, round(rows * test_size))


def test_a_gap_in_the_candles_does_not_stretch_the_embargo() -> None:
    """One label that waits for a month makes its own purge longer, not everyone's embargo."""
    times = START + DAY * np.array([*range(150), *range(180, 331)], dtype=np.int64)

    assert label_span(times[:-1], times[1:]) == DAY


@pytest.mark.parametrize("share", [0.0, -0.1, 0.9, 1.0])
def test_a_test_size_that_is_no_share_is_refused(share: float) -> None:
    """A test size is a share of the rows that leaves rows to train on."""
    times = START + DAY * np.arange(301)

    with pytest.raises(ConfigError, match="test size"):
        walk_forward(times[:-1], times[1:], test_size=share)


def test_an_embargo_below_the_label_is_refused() -> None:
    """Nobody can ask for less than the label needs."""
    times = START + DAY * np.arange(306)

    with pytest.raises(ConfigError, match="shorter than the label"):
        walk_forward(times[:-5], times[5:], embargo=DAY)


def test_too_few_rows_are_refused() -> None:
    """A split that would train on nothing is an error that says how much is needed."""
    times = START + DAY * np.arange(60)

    with pytest.raises(InsufficientHistory):
        walk_forward(times[:-1], times[1:])
