"""Walking a model forward: fit on each fold's past, predict its future, and keep only those predictions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import attrs
import numpy as np

from btcfs.errors import SchemaError
from btcfs.training.labels import Floats, Integers
from btcfs.training.metrics import hits
from btcfs.training.splits import Fold
from btcfs.training.threads import few_threads

Task = Literal["classification", "regression"]
Build = Callable[[], Any]  # an unfitted estimator, a new one at each call


@attrs.frozen(eq=False)
class Walk:
    """The predictions of every test row, each by a model that was fitted before it.

    ``forecast`` is the probability of up, or the change in percent. ``train_score`` is the accuracy
    (or R²) on the rows each model was fitted on, weighted by test rows. ``fitted`` are the folds' models.
    """

    task: Task
    rows: Integers
    fold: Integers
    forecast: Floats
    train_score: float
    fitted: tuple[Any, ...]


def walk(build: Build, X: Floats, target: Floats, folds: Sequence[Fold], task: Task) -> Walk:
    """Fit a new estimator in each fold and predict its test rows; whatever it fits, it fits there."""
    forecasts, scores, fitted = [], [], []
    for fold in folds:
        estimator = fit(build, X[fold.train], target[fold.train], task)
        forecasts.append(predict(estimator, X[fold.test], task))
        scores.append(_score(target[fold.train], predict(estimator, X[fold.train], task), task))
        fitted.append(estimator)
    sizes = [len(fold.test) for fold in folds]
    return Walk(
        task=task,
        rows=np.concatenate([fold.test for fold in folds]),
        fold=np.repeat(np.arange(len(folds)), sizes),
        forecast=np.concatenate(forecasts),
        train_score=float(np.average(scores, weights=sizes)),
        fitted=tuple(fitted),
    )


def fit(build: Build, X: Floats, target: Floats, task: Task) -> Any:
    """A new estimator fitted on these rows; classes are the integers 0 and 1."""
    estimator = build()
    with few_threads(X.size):
        estimator.fit(X, target.astype(np.int64) if task == "classification" else target)
    return estimator


def predict(estimator: Any, X: Floats, task: Task) -> Floats:
    """The probability of up, or the change in percent. SchemaError for a forecast that is not finite."""
    with few_threads(X.size):
        forecast = _forecast(estimator, X, task)
    if not np.isfinite(forecast).all():
        row = int((~np.isfinite(forecast)).argmax())
        raise SchemaError(
            f"{type(estimator).__name__} forecasts {forecast[row]} for row {row}; expected a finite number"
        )
    return forecast


def _forecast(estimator: Any, X: Floats, task: Task) -> Floats:
    if task == "regression":
        return np.asarray(estimator.predict(X), dtype=np.float64).reshape(len(X))
    probabilities = np.asarray(estimator.predict_proba(X), dtype=np.float64)
    up = np.flatnonzero(np.asarray(estimator.classes_) == 1)
    return np.asarray(probabilities[:, up[0]]) if len(up) else np.zeros(len(X))


def _score(truth: Floats, forecast: Floats, task: Task) -> float:
    if task == "classification":
        return float(hits(truth, forecast).mean())
    spread = float(np.square(truth - truth.mean()).sum())
    return 1.0 - float(np.square(truth - forecast).sum()) / spread if spread else 0.0
