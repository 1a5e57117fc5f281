"""Tripwires on the scores: runs that must fail if the evaluation is honest, and scores too good for it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from btcfs.training.datasets import TrainingSet
from btcfs.training.evaluation import Evaluation
from btcfs.training.findings import Finding
from btcfs.training.labels import Floats
from btcfs.training.metrics import hits
from btcfs.training.splits import Fold, Split, walk_forward
from btcfs.training.walk import Build, Task, fit, predict, walk

COARSE = 3  # folds of a run that only has to show whether something is badly wrong
GAP = 0.05
TOO_GOOD_ACCURACY = 0.60
TOO_GOOD_R2 = 0.05
COLLAPSE = 0.10
FAR = 0.10  # a gap that neither other test rows nor more training rows explain


def score_findings(evaluation: Evaluation) -> list[Finding]:
    """Findings that need no further run: a score too good for its subject, and one far below that on training rows."""
    return [_too_good(evaluation), _memorised(evaluation)]


def run_findings(data: TrainingSet, build: Build, split: Split, *, seed: int = 0) -> list[Finding]:
    """Findings from a few coarse runs of a classifier on the development rows: shuffled, permuted and delayed."""
    rows = np.arange(int(split.holdout.test[0]))
    coarse = walk_forward(data.event_times[rows], data.known_at[rows], test_size=1 / len(rows), folds=COARSE)
    X, y = data.X[rows], data.direction[rows]
    honest = _accuracy(build, X, y, coarse.folds, "classification")
    tested = len(coarse.tested)
    return [
        _shuffled(data, build, X, y, coarse.folds, honest, seed),
        _permuted(data, build, X, y, coarse.folds, tested, seed),
        _delayed(build, X, y, coarse.folds, honest, tested),
    ]


def _too_good(evaluation: Evaluation) -> Finding:
    name = f"too good, {evaluation.task}"
    if evaluation.task == "classification":
        value, limit, what = evaluation.metrics["accuracy"], TOO_GOOD_ACCURACY, "accuracy"
    else:
        value, limit, what = evaluation.metrics["r2"], TOO_GOOD_R2, "R²"
    numbers = {"value": value, "limit": limit}
    if value > limit:
        return Finding(
            name,
            "alarm",
            f"{what} {value:.3f} is above {limit}: beyond what is known to be possible; explain it before activating",
            numbers,
        )
    return Finding(name, "ok", f"{what} {value:.3f} is not above {limit}", numbers)


def _memorised(evaluation: Evaluation) -> Finding:
    name = f"training far above test, {evaluation.task}"
    tested = evaluation.metrics["accuracy" if evaluation.task == "classification" else "r2"]
    numbers = {"train": evaluation.train_score, "test": tested}
    said = f"{evaluation.train_score:.3f} on training rows, {tested:.3f} on test rows"
    if evaluation.train_score - tested > 0.15:
        return Finding(name, "warning", f"{said}: most of what the model learned does not carry over", numbers)
    return Finding(name, "ok", said, numbers)


def _shuffled(
    data: TrainingSet, build: Build, X: Floats, y: Floats, folds: Sequence[Fold], honest: float, seed: int
) -> Finding:
    """Shuffled folds put neighbours of a test row into training; the gain over the honest run is what that gives away."""
    order = np.random.default_rng(seed).permutation(len(y))
    parts = np.array_split(order, COARSE)
    right = []
    for k in range(COARSE):
        train = np.sort(np.concatenate([part for j, part in enumerate(parts) if j != k]))
        estimator = fit(build, X[train], y[train], "classification")
        right.append(hits(y[parts[k]], predict(estimator, X[parts[k]], "classification")))
    shuffled = float(np.concatenate(right).mean())
    gap = shuffled - honest
    numbers = {"shuffled": shuffled, "purged": honest, "gap": gap}
    said = f"shuffled folds would say {shuffled:.3f}, purged ones say {honest:.3f}"
    # Two samples of one rate differ by chance too; overlapping labels explain a gap and are purged.
    if gap <= max(GAP, 3 * math.sqrt(0.25 / len(y) + 0.25 / sum(len(f.test) for f in folds))):
        return Finding("shuffled against purged", "ok", said, numbers)
    if data.label.horizon > 1:
        reason = f"{said}: labels of {data.label.horizon} candles overlap; only the purged score counts, and only it is reported"
        return Finding("shuffled against purged", "warning", reason, numbers)
    if gap <= FAR:
        reason = f"{said}; labels do not overlap, so either the market changed over time or neighbouring rows share more than they should"
        return Finding("shuffled against purged", "warning", reason, numbers)
    return Finding(
        "shuffled against purged",
        "alarm",
        f"{said}: neighbouring rows share the answer, though labels do not overlap",
        numbers,
    )


def _permuted(
    data: TrainingSet, build: Build, X: Floats, y: Floats, folds: Sequence[Fold], tested: int, seed: int
) -> Finding:
    """With labels put out of order there is nothing to learn; whatever beats the majority then does not come from learning."""
    mixed = np.random.default_rng(seed + 1).permutation(y)
    score = _accuracy(build, X, mixed, folds, "classification")
    rate = float(mixed[np.concatenate([fold.test for fold in folds])].mean())
    base = max(rate, 1 - rate)
    limit = base + 3 * math.sqrt(base * (1 - base) / tested)
    numbers = {"permuted": score, "base": base, "limit": limit}
    said = f"with permuted labels {score:.3f}, by chance up to {limit:.3f}"
    if score > limit:
        return Finding("permuted labels", "alarm", f"{said}: the pipeline sees answers it should not", numbers)
    return Finding("permuted labels", "ok", said, numbers)


def _delayed(build: Build, X: Floats, y: Floats, folds: Sequence[Fold], honest: float, tested: int) -> Finding:
    """Features one candle older should lose little; a collapse says that they belong to the label's own candle."""
    late = _accuracy(build, np.concatenate((X[:1], X[:-1])), y, folds, "classification")
    loss = honest - max(late, 0.5)  # below one half is bad luck, not something more that was lost
    numbers = {"now": honest, "one_candle_older": late, "loss": loss}
    said = f"with features one candle older {late:.3f} instead of {honest:.3f}"
    if loss > max(COLLAPSE, 3 * math.sqrt(0.5 / tested)):
        return Finding(
            "older features",
            "alarm",
            f"{said}: the features tell of the label's own candle (contemporaneous leak)",
            numbers,
        )
    return Finding("older features", "ok", said, numbers)


def _accuracy(build: Build, X: Floats, y: Floats, folds: Sequence[Fold], task: Task) -> float:
    run = walk(build, X, y, folds, task)
    return float(hits(y[run.rows], run.forecast).mean())
