"""Scores of predictions, each with its definition; numbers are plain floats, NaN where one is undefined."""

from __future__ import annotations

from typing import Any

import numpy as np

from btcfs.training.labels import Floats

CLIP = 1e-15  # a certain and wrong forecast would otherwise cost infinity


def classification_metrics(truth: Floats, probability: Floats) -> dict[str, float]:
    """Scores of probabilities of up (0 to 1) against what happened (1.0 up, 0.0 not); up from 0.5 on."""
    up = probability >= 0.5
    happened = truth == 1.0
    tp, fp = float((up & happened).sum()), float((up & ~happened).sum())
    fn, tn = float((~up & happened).sum()), float((~up & ~happened).sum())
    precision, recall, specificity = _ratio(tp, tp + fp), _ratio(tp, tp + fn), _ratio(tn, tn + fp)
    return {
        "accuracy": _ratio(tp + tn, len(truth)),
        "balanced_accuracy": (recall + specificity) / 2,
        "precision": precision,
        "recall": recall,
        "f1": _ratio(2 * tp, 2 * tp + fp + fn),
        "mcc": _ratio(tp * tn - fp * fn, float(np.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)))),
        "auc": auc(truth, probability),
        "log_loss": float(log_losses(truth, probability).mean()) if len(truth) else np.nan,
        "brier": float(np.square(probability - truth).mean()) if len(truth) else np.nan,
    }


def regression_metrics(truth: Floats, forecast: Floats) -> dict[str, float]:
    """Scores of forecast changes against the changes that happened, both in percent.

    ``r2`` compares with the mean of the truth itself, ``r2_zero`` with always forecasting no change.
    """
    error = truth - forecast
    squares = float(np.square(error).sum())
    return {
        "rmse": float(np.sqrt(np.square(error).mean())) if len(truth) else np.nan,
        "mae": float(np.abs(error).mean()) if len(truth) else np.nan,
        "r2": 1.0 - _ratio(squares, float(np.square(truth - truth.mean()).sum())) if len(truth) else np.nan,
        "r2_zero": 1.0 - _ratio(squares, float(np.square(truth).sum())),
        "sign_accuracy": float(((truth > 0) == (forecast > 0)).mean()) if len(truth) else np.nan,
        "correlation": correlation(truth, forecast),
    }


def auc(truth: Floats, score: Floats) -> float:
    """The chance that a row that went up has a higher score than one that did not; ties count half.

    Source: Mann and Whitney (1947), by ranks.
    """
    positive = truth == 1.0
    ups = int(positive.sum())
    downs = len(truth) - ups
    if not ups or not downs:
        return np.nan
    _, inverse, counts = np.unique(score, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    ranks = (last - (counts - 1) / 2)[inverse]
    return float((ranks[positive].sum() - ups * (ups + 1) / 2) / (ups * downs))


def log_losses(truth: Floats, probability: Floats) -> Floats:
    """The log-loss of each row, in nats."""
    p = np.clip(probability, CLIP, 1 - CLIP)
    losses: Floats = -np.where(truth == 1.0, np.log(p), np.log1p(-p))
    return losses


def hits(truth: Floats, probability: Floats) -> Floats:
    """1.0 where the direction was right, else 0.0."""
    return np.asarray((probability >= 0.5) == (truth == 1.0), dtype=np.float64)


def correlation(a: Floats, b: Floats) -> float:
    """Pearson's correlation; NaN if one is constant."""
    if len(a) < 2 or a.std() <= 1e-12 * max(abs(a.mean()), 1e-300) or b.std() <= 1e-12 * max(abs(b.mean()), 1e-300):
        return np.nan
    return float(np.corrcoef(a, b)[0, 1])


def calibration(truth: Floats, probability: Floats, bins: int = 10) -> list[dict[str, Any]]:
    """Rows in equal-count bins of forecast probability: mean forecast, rate of up, rows."""
    order = np.argsort(probability, kind="stable")
    return [
        {"forecast": float(probability[part].mean()), "happened": float(truth[part].mean()), "rows": len(part)}
        for part in np.array_split(order, min(bins, len(order)))
        if len(part)
    ]


def confusion(truth: Floats, probability: Floats) -> dict[str, int]:
    """Rows by what happened and what was said."""
    up, happened = probability >= 0.5, truth == 1.0
    return {
        "up_said_up": int((up & happened).sum()),
        "up_said_down": int((~up & happened).sum()),
        "down_said_up": int((up & ~happened).sum()),
        "down_said_down": int((~up & ~happened).sum()),
    }


def by_threshold(truth: Floats, probability: Floats) -> list[dict[str, Any]]:
    """How often the model is right if it only speaks from a certainty on: rows spoken on and accuracy there."""
    certainty = np.maximum(probability, 1 - probability)
    right = hits(truth, probability)
    rows = []
    for least in (0.5, 0.525, 0.55, 0.6, 0.65, 0.7):
        spoken = certainty >= least
        rows.append(
            {
                "certainty": least,
                "rows": int(spoken.sum()),
                "accuracy": float(right[spoken].mean()) if spoken.any() else None,
            }
        )
    return rows


def _ratio(part: float, whole: float) -> float:
    return float(part / whole) if whole else 0.0
