"""Tripwires on the features: scaled with the future, or the label in another dress."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import numpy as np

from btcfs.training.datasets import TrainingSet
from btcfs.training.findings import Finding
from btcfs.training.labels import Floats
from btcfs.training.metrics import auc, correlation
from btcfs.training.walk import Build

EXACT = 1e-6
NEAR = 0.02
MOST = 0.8  # of the columns
SUSPICIOUS = 0.9
_FITTED = re.compile(r"[a-z]\w*[a-z0-9]_")
_DEPTH = 4


def feature_findings(data: TrainingSet, development: TrainingSet, build: Build) -> list[Finding]:
    """Findings on the columns as they are given, and on the estimator before it is fitted.

    Labels are looked at in the ``development`` rows only; the sealed ones stay unseen.
    """
    return [_scaled(data.X), _prefitted(build), _single(development)]


def _scaled(X: Floats) -> Finding:
    """Columns that are standardised over exactly these rows were scaled with all of them, the test's included."""
    name = "scaled on all rows"
    X = X[:, [len(np.unique(X[:, j])) > 2 for j in range(X.shape[1])]]
    if not X.shape[1]:
        return Finding(name, "ok", "no column takes more than two values")
    mean, spread = X.mean(axis=0), X.std(axis=0)
    low, high = X.min(axis=0), X.max(axis=0)
    off = np.maximum(np.abs(mean), np.minimum(np.abs(spread - 1), np.abs(X.std(axis=0, ddof=1) - 1)))
    boxed = np.maximum(np.abs(low), np.abs(high - 1))
    standard, unit = float((off < EXACT).mean()), float((boxed < EXACT).mean())
    numbers = {"standardised": standard, "unit_range": unit, "nearly": float((off < NEAR).mean())}
    if standard >= MOST or (unit >= MOST and X.shape[1] > 2):
        how = "mean 0 and deviation 1" if standard >= MOST else "minimum 0 and maximum 1"
        share = max(standard, unit)
        reason = (
            f"scaler on all rows: {share:.0%} of the features have {how} over exactly these rows, so test rows and the "
            f"holdout shaped what the model is fitted on; scale inside the model's pipeline"
        )
        return Finding(name, "alarm", reason, numbers)
    if numbers["nearly"] >= MOST:
        reason = f"{numbers['nearly']:.0%} of the features have nearly mean 0 and deviation 1; were they scaled before the split?"
        return Finding(name, "warning", reason, numbers)
    return Finding(name, "ok", "the features bear no mark of scaling over all rows", numbers)


def _prefitted(build: Build) -> Finding:
    """An estimator that knows something before its fold's fit learned it from rows of the test."""
    name = "fitted before the fold"
    learned = sorted(set(_learned(build(), _DEPTH)))
    if learned:
        return Finding(
            name,
            "alarm",
            f"the estimator comes with fitted parts ({', '.join(learned[:4])}); it must learn inside each fold only",
        )
    return Finding(name, "ok", "the estimator knows nothing before it is fitted in a fold")


def _learned(part: Any, depth: int) -> Iterator[str]:
    """The names of fitted attributes, by scikit-learn's convention of a trailing underscore, in it and its parts."""
    if depth == 0 or isinstance(part, (str, bytes, int, float, np.ndarray, type(None))):
        return
    if isinstance(part, (list, tuple)):
        for item in part:
            yield from _learned(item, depth)
        return
    owner = getattr(part, "__self__", None)
    if owner is not None and not isinstance(owner, type) and hasattr(owner, "__dict__"):
        yield from _learned(owner, depth - 1)
    for name, value in getattr(part, "__dict__", {}).items():
        if _FITTED.fullmatch(name) and not callable(value):
            yield f"{type(part).__name__}.{name}"
        elif not name.startswith("_"):
            yield from _learned(value, depth - 1)


def _single(data: TrainingSet) -> Finding:
    """No honest feature nearly equals the next move."""
    name = "one feature tells the label"
    scores = {}
    for column, feature in enumerate(data.features):
        values = data.X[:, column]
        r = correlation(values, data.change)
        s = correlation(values, data.y)
        separation = abs(auc(data.direction, values) - 0.5) * 2
        scores[feature] = float(np.nanmax([0.0, abs(r), abs(s), separation]))
    worst = max(scores, key=lambda feature: scores[feature])
    numbers = {"score": scores[worst]}
    if scores[worst] > SUSPICIOUS - 0.1 * (len(data) >= 200):
        reason = f"{worst!r} alone nearly gives the label (correlation or separation {scores[worst]:.2f}); it must contain it"
        return Finding(name, "alarm", reason, numbers)
    return Finding(name, "ok", f"the most telling feature is {worst!r} with {scores[worst]:.2f} of 1", numbers)
