"""The catalogue of this plugin's models, in pairs: one for the direction, one for the change."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from btcfs.errors import ConfigError
from btcfs.models import ModelKind, Task

LAST_RETURN = "return_1"


def kinds() -> tuple[ModelKind, ...]:
    """The models, then the baselines."""
    return (
        *_pair(
            "logistic",
            "ridge",
            "a linear model on standardised features: logistic regression",
            "a linear model on standardised features: ridge regression",
        ),
        *_pair(
            "random_forest",
            "random_forest_regressor",
            "300 trees of depth 20 on standardised features; probability of up",
            "300 trees of depth 20 on standardised features",
        ),
        *_pair(
            "hist_gradient_boosting",
            "hist_gradient_boosting_regressor",
            "100 boosted trees on binned features; takes missing values",
            "100 boosted trees on binned features; takes missing values",
            missing="handled",
        ),
        *_pair(
            "majority",
            "mean_return",
            "the share of up among the training rows, whatever the features",
            "the mean change of the training rows, whatever the features",
            baseline=True,
        ),
        *_pair(
            "persistence",
            "last_return",
            "the direction of the last candle goes on",
            "the change of the last candle repeats itself",
            baseline=True,
            needs=(LAST_RETURN,),
        ),
        ModelKind(
            name="zero_return",
            task="regression",
            build=_builder("zero_return"),
            baseline=True,
            description="no change: today's price is the best guess of tomorrow's",
            counterpart="majority",
        ),
    )


def _pair(classifier: str, regressor: str, direction: str, change: str, **options: Any) -> tuple[ModelKind, ModelKind]:
    def kind(name: str, task: Task, description: str, counterpart: str) -> ModelKind:
        return ModelKind(
            name=name, task=task, build=_builder(name), description=description, counterpart=counterpart, **options
        )

    return (
        kind(classifier, "classification", direction, regressor),
        kind(regressor, "regression", change, classifier),
    )


def _builder(name: str) -> Callable[..., Any]:
    def build(**params: Any) -> Any:
        try:
            # Here and not above: listing the models should not wait for scikit-learn.
            from btcfs_models import recipes
        except ModuleNotFoundError as exc:
            if exc.name is None or exc.name.partition(".")[0] != "sklearn":
                raise
            raise ConfigError(
                f"model {name!r} needs scikit-learn, which is not installed; run: pip install 'btcfs[train]'"
            ) from exc
        return getattr(recipes, name)(**params)

    return build
