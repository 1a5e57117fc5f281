"""Scores and their uncertainty, compared with scikit-learn, with a naive loop and with published numbers."""

from __future__ import annotations

import math

import numpy as np
import pytest

from btcfs.training.intervals import (
    Resampling,
    chance_of,
    chance_of_agreement,
    chance_of_mean,
    rows_needed,
    smallest_edge,
    wilson,
)
from btcfs.training.metrics import (
    auc,
    calibration,
    classification_metrics,
    confusion,
    regression_metrics,
)


@pytest.mark.parametrize("seed", range(5))
def test_classification_scores_equal_those_of_scikit_learn(seed: int) -> None:
    """Each score of a direction is the one that scikit-learn computes."""
    judge = pytest.importorskip("sklearn.metrics", reason="scikit-learn is in the extra 'train'")
    rng = np.random.default_rng(seed)
    truth = (rng.random(200) < 0.55).astype(float)
    probability = np.round(np.clip(rng.normal(0.5, 0.2, 200), 0.01, 0.99), 2)  # rounded, so that some tie
    said = (probability >= 0.5).astype(float)

    found = classification_metrics(truth, probability)

    assert found == pytest.approx(
        {
            "accuracy": judge.accuracy_score(truth, said),
            "balanced_accuracy": judge.balanced_accuracy_score(truth, said),
            "precision": judge.precision_score(truth, said),
            "recall": judge.recall_score(truth, said),
            "f1": judge.f1_score(truth, said),
            "mcc": judge.matthews_corrcoef(truth, said),
            "auc": judge.roc_auc_score(truth, probability),
            "log_loss": judge.log_loss(truth, probability),
            "brier": judge.brier_score_loss(truth, probability),
        }
    )
    [[dd, du], [ud, uu]] = judge.confusion_matrix(truth, said)
    assert confusion(truth, probability) == {
        "up_said_up": uu,
        "up_said_down": ud,
        "down_said_up": du,
        "down_said_down": dd,
    }


def test_regression_scores_equal_those_of_scikit_learn() -> None:
    """Each score of a change is the one that scikit-learn computes."""
    judge = pytest.importorskip("sklearn.metrics", reason="scikit-learn is in the extra 'train'")
    rng = np.random.default_rng(0)
    truth, forecast = rng.normal(0.1, 2.0, 300), rng.normal(0.0, 1.0, 300)

    found = regression_metrics(truth, forecast)

    assert found["rmse"] == pytest.approx(math.sqrt(judge.mean_squared_error(truth, forecast)))
    assert found["mae"] == pytest.approx(judge.mean_absolute_error(truth, forecast))
    assert found["r2"] == pytest.approx(judge.r2_score(truth, forecast))


def test_scores_of_one_class_are_no_accident() -> None:
    """A test period in which it only went up has no AUC and no division by zero."""
    found = classification_metrics(np.ones(5), np.full(5, 0.7))

    assert found["accuracy"] == 1.0
    assert math.isnan(auc(np.ones(5), np.full(5, 0.7)))
    assert found["mcc"] == 0.0


def test_calibration_bins_hold_every_row_once() -> None:
    """The bins of the calibration curve share out all rows, by forecast."""
    rng = np.random.default_rng(1)
    probability = rng.random(103)

    bins = calibration((rng.random(103) < probability).astype(float), probability)

    assert sum(b["rows"] for b in bins) == 103
    assert [b["forecast"] for b in bins] == sorted(b["forecast"] for b in bins)


@pytest.mark.parametrize(
    ("hits", "rows", "low", "high"),
    [(27, 37, 0.57, 0.85), (21, 30, 0.52, 0.83), (21, 33, 0.47, 0.78), (3, 3, 0.44, 1.0)],
)
def test_wilson_intervals_are_the_published_ones(hits: int, rows: int, low: float, high: float) -> None:
    """Few rows say little: 27 of 37 lies anywhere between .57 and .85."""
    found = wilson(hits, rows)

    assert (round(found.low, 2), round(found.high, 2)) == pytest.approx((low, high), abs=0.0051)


@pytest.mark.parametrize(
    ("rate", "base", "rows"), [(0.55, 0.50, 617), (0.53, 0.50, 1716), (0.52, 0.50, 3863), (0.55, 0.53, 3842)]
)
def test_rows_needed_are_the_published_ones(rate: float, base: float, rows: int) -> None:
    """So many days are needed to tell a hit rate from a base rate, one-sided 5 %, power 80 %."""
    assert rows_needed(rate, base) == pytest.approx(rows, abs=1)
    assert smallest_edge(rows_needed(rate, base) or 0, base) == pytest.approx(rate, abs=1e-4)


def test_a_rate_below_the_base_needs_rows_without_end() -> None:
    """No number of rows shows that a model beats what it does not beat."""
    assert rows_needed(0.51, 0.53) is None


def test_resampled_means_equal_a_naive_loop() -> None:
    """The mean of a resampled series is that of the rows it is made of, in blocks of neighbours."""
    values = np.random.default_rng(2).normal(size=103)
    drawn = Resampling.of(103, 7, draws=50, seed=3)

    means = drawn.means(values)

    for k in range(50):
        rows = [start + i for start in drawn.starts[k] for i in range(7)][:103]
        assert drawn.series(k).tolist() == rows
        assert means[k] == pytest.approx(values[rows].mean())


def test_block_intervals_cover_a_dependent_mean() -> None:
    """Of overlapping values, the block interval is wider than one that takes them for independent."""
    noise = np.random.default_rng(4).normal(size=2020)
    overlapping = np.convolve(noise, np.ones(20) / 20, mode="valid")
    rows = len(overlapping)

    blocks, single = (Resampling.of(rows, size, seed=0).mean(overlapping) for size in (40, 1))

    assert blocks.high - blocks.low > 2.5 * (single.high - single.low)


def test_the_tests_of_means_keep_their_level() -> None:
    """Of values with mean 0, about one in twenty looks unlikely at 5 %; of agreement without information too."""
    rng = np.random.default_rng(5)
    draws = [(rng.normal(size=400), rng.normal(size=400)) for _ in range(400)]

    means = np.mean([chance_of_mean(a, 7) < 0.05 for a, _ in draws])
    agreements = np.mean([chance_of_agreement(a, b, 7) < 0.05 for a, b in draws])

    assert 0.02 < means < 0.09
    assert 0.02 < agreements < 0.09


@pytest.mark.parametrize(("hits", "rows", "rate"), [(27, 37, 0.5), (0, 5, 0.5), (5, 5, 0.3), (310, 600, 0.52)])
def test_the_chance_of_hits_is_the_binomial_tail(hits: int, rows: int, rate: float) -> None:
    """The chance of at least so many hits is the sum of the binomial's terms."""
    expected = sum(math.comb(rows, k) * rate**k * (1 - rate) ** (rows - k) for k in range(hits, rows + 1))

    assert chance_of(hits, rows, rate) == pytest.approx(expected, rel=1e-9)
