"""Which features a model leans on: how much worse it does, out of sample, when one is shuffled."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from btcfs.training.labels import Floats
from btcfs.training.metrics import log_losses
from btcfs.training.splits import Fold
from btcfs.training.walk import Walk, predict

ALIKE = 0.9  # features that correlate beyond this are shuffled together, or each would hide the other
MOST_FOLDS = 5


def permutation_importance(
    run: Walk, X: Floats, target: Floats, folds: Sequence[Fold], names: Sequence[str], *, seed: int = 0
) -> list[dict[str, Any]]:
    """The rise of the loss on test rows when a group of like features is shuffled, largest first.

    Log-loss in nats, or squared error in squared percent; the mean over the last folds, and its
    spread between them. Grouping looks at the last fold's training rows only.
    """
    groups = like_features(X[folds[-1].train])
    rng = np.random.default_rng(seed)
    last = list(zip(folds, run.fitted, strict=True))[-MOST_FOLDS:]
    rises = np.array([_rises(run, fitted, X, target, fold, groups, rng) for fold, fitted in last])
    found = [
        {"features": [names[i] for i in group], "rise": float(rises[:, k].mean()), "spread": float(rises[:, k].std())}
        for k, group in enumerate(groups)
    ]
    return sorted(found, key=lambda row: -row["rise"])


def like_features(X: Floats) -> list[list[int]]:
    """Column numbers in groups: each joins the first group whose first column it resembles."""
    spread = X.std(axis=0)
    varies = spread > 1e-12 * np.maximum(np.abs(X.mean(axis=0)), 1.0)
    correlations = np.zeros((X.shape[1], X.shape[1]))
    if varies.sum() > 1:
        correlations[np.ix_(varies, varies)] = np.corrcoef(X[:, varies], rowvar=False)
    groups: list[list[int]] = []
    for column in range(X.shape[1]):
        home = next((g for g in groups if abs(correlations[column, g[0]]) > ALIKE), None)
        if home is None:
            groups.append([column])
        else:
            home.append(column)
    return groups


def _rises(
    run: Walk, fitted: Any, X: Floats, target: Floats, fold: Fold, groups: list[list[int]], rng: np.random.Generator
) -> list[float]:
    base = X[fold.test]
    stacked = np.repeat(base[None], len(groups) + 1, axis=0)
    for k, group in enumerate(groups):
        order = rng.permutation(len(base))
        stacked[k][:, group] = base[order][:, group]
    # One call for all groups: a forest's cost is mostly that of being called.
    forecasts = predict(fitted, stacked.reshape(-1, X.shape[1]), run.task).reshape(len(groups) + 1, len(base))
    truth = target[fold.test]
    losses = [
        float((log_losses(truth, f) if run.task == "classification" else np.square(truth - f)).mean())
        for f in forecasts
    ]
    return [loss - losses[-1] for loss in losses[:-1]]
