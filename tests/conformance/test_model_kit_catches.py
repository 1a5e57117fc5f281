"""The model kit finds planted faults, under the law that they break, and finds none in a sound stranger's model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from btcfs.models import ModelKind
from btcfs.testing.models import certify_model
from btcfs.training.compiled import Linear, Parts

pytest.importorskip("sklearn", reason="scikit-learn is in the extra 'train'")

from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge, SGDRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

Array = np.ndarray[Any, Any]
BAD: dict[str, tuple[str, ModelKind]] = {}


def planted(law: str, task: Any = "regression", **options: Any) -> Callable[[type], type]:
    def keep(kind: type) -> type:
        BAD[kind.__name__] = (law, ModelKind(kind.__name__.lower(), task, kind, **options))
        return kind

    return keep


class Slope:
    """A stranger's own sound model: least squares on one standardised column, without scikit-learn."""

    def fit(self, X: Array, y: Array) -> Slope:
        self.n_features_in_ = X.shape[1]
        centred = X[:, 0] - X[:, 0].mean()
        self.slope_ = float(centred @ y / (centred @ centred))
        self.start_ = float(y.mean() - self.slope_ * X[:, 0].mean())
        return self

    def predict(self, X: Array) -> Array:
        return X[:, 0] * self.slope_ + self.start_

    def btcfs_parts(self, task: str) -> Parts:
        weights = np.zeros(self.n_features_in_)
        weights[0] = self.slope_
        return Parts(Linear(weights, self.start_))


class Chance(Slope):
    """Up with a probability from the slope."""

    def fit(self, X: Array, y: Array) -> Chance:
        super().fit(X, y)
        self.classes_ = np.array([0.0, 1.0])
        return self

    def predict_proba(self, X: Array) -> Array:
        up = np.clip(super().predict(X), 0.0, 1.0)
        return np.stack([1.0 - up, up], axis=1)

    def predict(self, X: Array) -> Array:
        return (self.predict_proba(X)[:, 1] > 0.5).astype(float)


@planted("shape")
class Column(Slope):
    def predict(self, X: Array) -> Array:
        return super().predict(X)[:, None]


@planted("shape")
class Nowhere(Slope):
    def predict(self, X: Array) -> Array:
        return np.full(len(X), np.nan)


@planted("shape", "classification")
class Scores(Chance):
    def predict_proba(self, X: Array) -> Array:
        return 3.0 * super().predict_proba(X)


@planted("shape", "classification")
class Contrary(Chance):
    def predict(self, X: Array) -> Array:
        return 1.0 - super().predict(X)


@planted("shape", "classification")
class Signs(Chance):
    def fit(self, X: Array, y: Array) -> Signs:
        super().fit(X, y)
        self.classes_ = np.array([-1.0, 1.0])
        return self


@planted("deterministic")
class Dice(Slope):
    def fit(self, X: Array, y: Array) -> Dice:
        super().fit(X, y)
        self.start_ += float(np.random.rand())
        return self


@planted("deterministic")
class Stirred(Slope):
    def fit(self, X: Array, y: Array) -> Stirred:
        np.random.rand()
        super().fit(X, y)
        return self


@planted("pure")
class InPlace(Slope):
    def fit(self, X: Array, y: Array) -> InPlace:
        if X.flags.writeable:
            X -= X.mean(axis=0)
        super().fit(X, y)
        return self


@planted("pure")
class Learning(Slope):
    def predict(self, X: Array) -> Array:
        out = super().predict(X)
        self.start_ += 0.1
        return out


@planted("rows_apart")
class ScaledOnTest(Slope):
    def fit(self, X: Array, y: Array) -> ScaledOnTest:
        super().fit((X - X.mean(axis=0)) / X.std(axis=0), y)
        return self

    def predict(self, X: Array) -> Array:
        return super().predict((X - X.mean(axis=0)) / np.maximum(X.std(axis=0), 1e-12))


@planted("rows_apart")
class Smoothed(Slope):
    def predict(self, X: Array) -> Array:
        return np.convolve(super().predict(X), [0.25, 0.5, 0.25], mode="same")


@planted("refit")
class Warm(Slope):
    def fit(self, X: Array, y: Array) -> Warm:
        before = getattr(self, "slope_", None)
        super().fit(X, y)
        self.slope_ = self.slope_ if before is None else (self.slope_ + before) / 2
        return self


@planted("compiled")
class Uncompiled(LinearRegression):
    pass


@planted("compiled")
class Drifting(Slope):
    def btcfs_parts(self, task: str) -> Parts:
        return Parts(Linear(np.zeros(self.n_features_in_), self.start_))


@planted("compiled")
class NotParts(Slope):
    def btcfs_parts(self, task: str) -> Any:
        return {"weights": [1.0]}


@planted("missing", missing="handled")
class Boastful(Slope):
    pass


BAD["Unscaled"] = ("units", ModelKind("unscaled", "regression", lambda: Ridge(alpha=1.0)))
BAD["UnscaledLogit"] = (
    "units",
    ModelKind("unscaled_logit", "classification", lambda: LogisticRegression(max_iter=2000)),
)
BAD["Unseeded"] = (
    "deterministic",
    ModelKind("unseeded", "regression", lambda: make_pipeline(StandardScaler(), SGDRegressor(random_state=None))),
)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", sorted(BAD))
def test_a_planted_fault_is_found(name: str) -> None:
    """Each planted fault is found under the law that it breaks."""
    law, kind = BAD[name]

    assert law in {finding.partition(":")[0] for finding in certify_model(kind)}


def test_an_estimator_that_raises_is_a_finding() -> None:
    """A model that raises is reported by law and cause, not as a crash of the kit."""
    findings = certify_model(ModelKind("broken", "regression", lambda: 1 / 0))

    assert findings[0] == "shape: model 'broken' raises ZeroDivisionError: division by zero"


@pytest.mark.parametrize(
    "kind",
    [
        ModelKind("slope", "regression", Slope),
        ModelKind("least_squares", "regression", lambda: make_pipeline(StandardScaler(), LinearRegression())),
    ],
    ids=lambda kind: kind.name,
)
def test_a_sound_model_passes(kind: ModelKind) -> None:
    """A stranger's sound model, with or without scikit-learn, keeps every law."""
    assert certify_model(kind) == []
