"""Training sets with a known truth, for tests of training."""

from __future__ import annotations

from typing import Any

import numpy as np

from btcfs.definitions import FeatureView, Label
from btcfs.models import ModelKind
from btcfs.training.datasets import TrainingSet
from btcfs.training.labels import changes, labels, past_changes

DAY = 86_400_000_000
START = 1_400_000_000_000_000 // DAY * DAY


def made(
    X: np.ndarray[Any, Any],
    prices: np.ndarray[Any, Any],
    label: Label | None = None,
    first: int = 0,
    **overrides: Any,
) -> TrainingSet:
    """The training set of daily closes, whose row i is decided at close ``first + i``; rows without a label are left out."""
    label = label or Label()
    first = max(first, label.horizon)
    times = START + DAY * np.arange(len(prices), dtype=np.int64)
    y, known_at = labels(times, prices, label)
    change, _ = changes(times, prices, label.horizon)
    past = past_changes(times, prices, label.horizon)
    rows = slice(first, len(prices) - label.horizon)
    names = tuple(f"f{i}" for i in range(X.shape[1]))
    values = {
        "X": X[rows],
        "y": y[rows],
        "change": change[rows],
        "past": past[rows],
        "event_times": times[rows],
        "known_at": known_at[rows],
        "price_times": times,
        "prices": prices,
        **overrides,
    }
    view = FeatureView("planted", 1, [("market", 1)], names, label)
    return TrainingSet(view, label, names, **values)


def market(
    rate: float, seed: int, rows: int = 2000, features: int = 5
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Features and closes; the sign of the first feature is that of the next move on exactly this share of days, the rest is noise."""
    rng = np.random.default_rng(seed)
    up = np.where(rng.random(rows + 1) < 0.5, 1.0, -1.0)
    moves = up * np.abs(rng.normal(0.0, 0.03, rows + 1))
    prices = 1000.0 * np.exp(np.cumsum(moves))
    X = rng.normal(5.0, 3.0, (rows + 1, features))
    right = np.where(rng.permutation(rows) < rate * rows, 1.0, -1.0)
    X[:-1, 0] = 40.0 + 2.0 * up[1:] * right
    return X, prices


def logistic() -> ModelKind:
    """Logistic regression, scaled inside its pipeline."""

    def build() -> Any:
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        return make_pipeline(StandardScaler(), LogisticRegression())

    return ModelKind("plain_logistic", "classification", build)


def ridge() -> ModelKind:
    """Ridge regression, scaled inside its pipeline."""

    def build() -> Any:
        from sklearn.linear_model import Ridge
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        return make_pipeline(StandardScaler(), Ridge())

    return ModelKind("plain_ridge", "regression", build)
