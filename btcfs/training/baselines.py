"""Forecasts without skill, fitted in the same folds, that every model is compared with."""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import numpy as np

from btcfs.training.labels import Floats
from btcfs.training.metrics import log_losses
from btcfs.training.splits import Fold


@attrs.frozen(eq=False)
class Baseline:
    """What a rule without skill scores on each test row: its hits (a share, if it draws lots) and its loss.

    The loss is log-loss in nats for a direction, squared error in squared percent for a change.
    """

    name: str
    hits: Floats
    losses: Floats


def direction_baselines(
    truth: Floats, change: Floats, past: Floats, threshold: float, folds: Sequence[Fold]
) -> list[Baseline]:
    """Always up, the training fold's majority, persistence, the sign of the mean, and lots drawn at the training rate.

    Each states its direction with the probability that this direction had in the training fold.
    """
    names = ("always up", "majority", "persistence", "sign of mean")
    said: dict[str, list[Floats]] = {name: [] for name in names}
    stated: dict[str, list[Floats]] = {name: [] for name in names}
    rates: list[Floats] = []
    for fold in folds:
        rate = _rate(truth[fold.train])
        before, now = past[fold.train] > threshold, past[fold.test] > threshold
        after = {True: _rate(truth[fold.train][before]), False: _rate(truth[fold.train][~before])}
        constant = np.full(len(fold.test), rate)
        rates.append(constant)
        up = {
            "always up": np.ones(len(fold.test)),
            "majority": np.full(len(fold.test), float(rate >= 0.5)),
            "persistence": now.astype(np.float64),
            "sign of mean": np.full(len(fold.test), float(change[fold.train].mean() > threshold)),
        }
        for name in names:
            said[name].append(up[name])
            stated[name].append(np.where(now, after[True], after[False]) if name == "persistence" else constant)
    tested = truth[np.concatenate([fold.test for fold in folds])]
    made = [
        Baseline(
            name,
            (np.concatenate(said[name]) == tested).astype(np.float64),
            log_losses(tested, np.concatenate(stated[name])),
        )
        for name in names
    ]
    rate_of = np.concatenate(rates)
    return [
        *made,
        Baseline("lots at training rate", np.where(tested == 1.0, rate_of, 1 - rate_of), log_losses(tested, rate_of)),
    ]


def change_baselines(change: Floats, past: Floats, folds: Sequence[Fold]) -> list[Baseline]:
    """No change at all, the change that had just ended, and the training fold's mean change."""
    rows = np.concatenate([fold.test for fold in folds])
    tested = change[rows]
    forecasts = {
        "zero": np.zeros(len(rows)),
        "last change": past[rows],
        "mean": np.concatenate([np.full(len(fold.test), change[fold.train].mean()) for fold in folds]),
    }
    return [
        Baseline(name, ((forecast > 0) == (tested > 0)).astype(np.float64), np.square(tested - forecast))
        for name, forecast in forecasts.items()
    ]


def _rate(truth: Floats) -> float:
    """The share of ups, drawn a little to one half so that no forecast is certain. Source: Laplace's rule."""
    return float((truth.sum() + 1.0) / (len(truth) + 2.0))
