"""Small fitted models and bundles for the tests, made in milliseconds and without a store."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from btcfs.definitions import FeatureView, Label
from btcfs.models import ModelKind
from btcfs.training.bundle import Bundle, save_bundle
from btcfs.training.walk import fit
from btcfs_models.kinds import kinds

FEATURES = ("close", "sma_20", "rsi_14", "volume", "return_1", "hour_of_day")
VIEW = FeatureView("bitcoin_training_view", 1, [("bitcoin_features", 1)], FEATURES, label=Label())
KINDS = {kind.name: kind for kind in kinds()}
# Enough for the shape of the thing, and few enough to fit in a blink.
SMALL: Mapping[str, Mapping[str, Any]] = {
    "random_forest": {"n_estimators": 20, "max_depth": 8, "n_jobs": 1},
    "random_forest_regressor": {"n_estimators": 20, "max_depth": 8, "n_jobs": 1},
    "hist_gradient_boosting": {"max_iter": 20},
    "hist_gradient_boosting_regressor": {"max_iter": 20},
}


def rows(count: int, seed: int = 0, width: int = len(FEATURES)) -> np.ndarray[Any, Any]:
    """Feature rows of very different sizes, the return small as returns are."""
    noise = np.random.default_rng(seed).normal(size=(count, width))
    matrix = noise * np.geomspace(1e-3, 1e6, width) + np.linspace(-50.0, 4e4, width)
    if width > 4:
        matrix[:, 4] = noise[:, 4] * 0.02
    return matrix


def target(task: str, count: int, seed: int = 0) -> np.ndarray[Any, Any]:
    """Labels that depend on nothing: 0.0 and 1.0, or changes in percent."""
    noise = np.random.default_rng(seed + 1).normal(size=count)
    return (noise > 0.05).astype(np.float64) if task == "classification" else noise * 2.0


def fitted(name: str, count: int = 300, seed: int = 0, **params: Any) -> Any:
    """A pipeline of that model, fitted on noise."""
    kind: ModelKind = KINDS[name]
    options = {**SMALL.get(name, {}), **params}
    return fit(
        lambda: kind.estimator(FEATURES, **options), rows(count, seed), target(kind.task, count, seed), kind.task
    )


def bundle(
    models_dir: Path, classifier: str = "logistic", regressor: str = "ridge", seed: int = 0, **options: Any
) -> Bundle:
    """A saved bundle of two small models."""
    content: dict[str, Any] = {
        "estimators": {
            "classification": fitted(classifier, seed=seed),
            "regression": fitted(regressor, seed=seed),
        },
        "view": VIEW,
        "label": Label(),
        "parity_rows": rows(200, seed=seed + 7),
        "metadata": {"models": {"classification": classifier, "regression": regressor}, "training_set": "0" * 64},
        "metrics": {"accuracy": 0.51},
        "reports": {"report.txt": "no evidence of skill\n"},
    }
    return save_bundle(models_dir, **{**content, **options})
