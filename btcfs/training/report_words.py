"""The words that the text and the page of a training's report share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from btcfs.training.report import TrainingReport
from btcfs.training.walk import Task

# What each score is called, and its unit; a share or a ratio has none.
SCORES = {
    "accuracy": ("Accuracy", ""),
    "balanced_accuracy": ("Balanced accuracy", ""),
    "precision": ("Precision", ""),
    "recall": ("Recall", ""),
    "f1": ("F1-Score", ""),
    "mcc": ("Matthews correlation", ""),
    "auc": ("AUC", ""),
    "log_loss": ("Log-loss", "nats"),
    "brier": ("Brier score", ""),
    "rmse": ("RMSE", "percentage points"),
    "mae": ("MAE", "percentage points"),
    "r2": ("R²", ""),
    "r2_zero": ("R² against no change", ""),
    "sign_accuracy": ("Direction", ""),
    "correlation": ("Correlation", ""),
}
SCORE: Mapping[Task, str] = {"classification": "accuracy", "regression": "rmse"}  # that models are compared by
LOSS: Mapping[Task, str] = {
    "classification": "log-loss, nats",
    "regression": "squared error, squared percentage points",
}


def counted(number: int, one: str) -> str:
    """``1 candle``, ``2 candles``."""
    return f"{number:,} {one}{'' if number == 1 else 's'}"


def duration(seconds: float) -> str:
    """A length of time in the largest unit of which it is a whole number."""
    for unit, size in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        if seconds % size == 0:
            return counted(int(seconds // size), unit)
    return f"{seconds:g} seconds"


def label(content: Mapping[str, Any]) -> str:
    """What the models were to predict."""
    ahead = counted(content["horizon"], "candle")
    return f"{content['kind']} of {content['column']} over {ahead}, up above {content['threshold']:g} %"


def left_out(report: TrainingReport) -> str:
    """How many rows were read, and why some of them were not trained on."""
    reasons = ", ".join(f"{count:,} {reason}" for reason, count in report.provenance["dropped"].items() if count)
    return f"{reasons or 'nothing'} of {report.provenance['rows_read']:,} rows"


def source(report: TrainingReport) -> str:
    """Whose rows were read: the backend's, or its mirror's."""
    if report.provenance.get("fallback_reason") is None:
        return report.backend
    return f"{report.provenance['feature_source']} instead of {report.backend}, which did not answer"


def snapshot(report: TrainingReport) -> str:
    """Which state of the store was read."""
    as_of = report.provenance["query"]["as_of"]
    if as_of is None:
        return "now (this backend keeps no history)"
    commits = [f"{title} at commit {group['commit']}" for title, group in report.provenance["groups"].items()]
    return f"{as_of}, {', '.join(commits)}"


def restated(report: TrainingReport) -> str:
    """How often what the training read was changed after it was first stored."""
    if report.restated is None:
        return "not known, this backend does not keep it"
    return f"{counted(report.restated, 'time')} a stored row of the group was changed later"


def features(report: TrainingReport) -> str:
    """The view, and whether its features are certified."""
    view = report.provenance["view"]
    found = [check for check in report.checks if check["name"] == "features_certified"]
    certified = "; ".join(check["detail"] for check in found) or "not asked whether they are certified"
    return f"{view['name']} v{view['version']}: {certified}"


def opened(report: TrainingReport) -> str:
    """Whether the sealed rows were looked at, and how often before."""
    if report.openings is None:
        return "not opened"
    before = report.openings
    return f"opened, and {counted(before, 'time')} before" if before else "opened, for the first time"
