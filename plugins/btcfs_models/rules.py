"""Baselines that are a rule about one feature, in the shape of scikit-learn estimators."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin

if TYPE_CHECKING:
    from btcfs.training.compiled import Parts

    Floats = np.ndarray[Any, np.dtype[np.float64]]

PERCENT = 100.0
LEAST_SURE = 1e-3


class Persistence(ClassifierMixin, BaseEstimator):
    """Up if the return in the column (a ratio) is above the threshold.

    Its probability is as far from one half as it was right on the training rows, and never less
    than 0.001 on the side that it says.
    """

    def __init__(self, column: int, threshold: float = 0.0) -> None:
        self.column = column
        self.threshold = threshold

    def fit(self, X: Floats, y: Floats) -> Persistence:
        matrix = np.asarray(X, dtype=np.float64)
        self.n_features_in_ = matrix.shape[1]
        self.classes_ = np.array([0.0, 1.0])
        right = np.mean(self._up(matrix) == (np.asarray(y) == 1.0))
        self.sure_ = float(max(right - 0.5, LEAST_SURE))
        return self

    def predict(self, X: Floats) -> Floats:
        return self._up(np.asarray(X, dtype=np.float64)).astype(np.float64)

    def predict_proba(self, X: Floats) -> Floats:
        up = 0.5 + np.where(self._up(np.asarray(X, dtype=np.float64)), self.sure_, -self.sure_)
        return np.stack([1.0 - up, up], axis=1)

    def btcfs_parts(self, task: str) -> Parts:
        """One tree of one split."""
        from btcfs.training.compiled import Parts, Tree, combined

        tree = Tree(
            feature=np.array([self.column, 0, 0]),
            threshold=np.array([self.threshold, 0.0, 0.0]),
            left=np.array([1, -1, -1]),
            right=np.array([2, -1, -1]),
            value=np.array([0.0, 0.5 - self.sure_, 0.5 + self.sure_]),
            missing_left=np.ones(3, dtype=bool),
        )
        return Parts(combined([tree], width=self.n_features_in_, single=False))

    def _up(self, matrix: Floats) -> np.ndarray[Any, np.dtype[np.bool_]]:
        return np.asarray(matrix[:, self.column] > self.threshold)


class LastReturn(RegressorMixin, BaseEstimator):
    """The return in the column, given as a ratio, in percent."""

    def __init__(self, column: int) -> None:
        self.column = column

    def fit(self, X: Floats, y: Floats) -> LastReturn:
        self.n_features_in_ = np.asarray(X).shape[1]
        return self

    def predict(self, X: Floats) -> Floats:
        return np.asarray(np.asarray(X, dtype=np.float64)[:, self.column] * PERCENT)

    def btcfs_parts(self, task: str) -> Parts:
        """One weight."""
        from btcfs.training.compiled import Linear, Parts

        weights = np.zeros(self.n_features_in_)
        weights[self.column] = PERCENT
        return Parts(Linear(weights))
