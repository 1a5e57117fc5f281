"""The laws of models, each a function that raises ModelLawBroken if a recipe's estimators break it."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable, Mapping
from typing import Any

import attrs
import numpy as np

from btcfs.errors import BtcfsError, SchemaError
from btcfs.models import ModelKind
from btcfs.training.compiled import Compiled, compile_pipeline, parity
from btcfs.training.threads import few_threads

Matrix = np.ndarray[Any, np.dtype[np.float64]]
TRAINED, UNSEEN = 160, 120
_CLOSE = 1e-9


class ModelLawBroken(AssertionError):
    """A law that a model breaks: its name, the model's, and how."""


@attrs.frozen
class Subject:
    """A recipe under test with the parameters it is built with."""

    kind: ModelKind
    params: Mapping[str, Any] = attrs.field(factory=dict)

    @property
    def features(self) -> tuple[str, ...]:
        """The columns of the test data; those that the recipe needs are in the middle."""
        return ("feature_a", "feature_b", *self.kind.needs, "feature_c", "feature_d", "feature_e")

    def rows(self, count: int, seed: int) -> Matrix:
        """Rows whose columns differ in size by many orders, as prices, ratios and volumes do; read-only."""
        width = len(self.features)
        noise = np.random.default_rng(seed).normal(size=(count, width))
        matrix: Matrix = noise * np.geomspace(1e-3, 1e4, width) + np.linspace(-3.0, 2e4, width)
        for name in self.kind.needs:
            matrix[:, self.features.index(name)] = noise[:, self.features.index(name)] * 0.02
        matrix.flags.writeable = False
        return matrix

    def target(self, matrix: Matrix, seed: int) -> Matrix:
        """What depends on the first column a little; 0.0 and 1.0, or percent; read-only."""
        noise = np.random.default_rng(seed).normal(size=len(matrix)) + (matrix[:, 0] - matrix[:, 0].mean()) * 500.0
        values: Matrix = (noise > 0).astype(np.float64) if self.kind.task == "classification" else noise
        values.flags.writeable = False
        return values

    def built(self) -> Any:
        return self.kind.estimator(self.features, **self.params)

    def fitted(self, seed: int = 1) -> Any:
        matrix = self.rows(TRAINED, seed)
        return self.built().fit(matrix, self.target(matrix, seed + 100))

    def estimate(self, fitted: Any, matrix: Matrix) -> Matrix:
        """The probability of up, or the change, as the estimator itself gives it."""
        if self.kind.task == "regression":
            return np.asarray(fitted.predict(matrix))
        return np.asarray(fitted.predict_proba(matrix))[:, list(fitted.classes_).index(1.0)]

    def require(self, law: str, holds: Any, how: str) -> None:
        if not holds:
            raise ModelLawBroken(f"{law}: model {self.kind.name!r} {how}")


def shape(subject: Subject) -> None:
    """Predictions are one finite number for each row; probabilities lie in 0 to 1 and add up to 1."""
    fitted = subject.fitted()
    for count in (1, 2, UNSEEN):
        matrix = subject.rows(count, 2)
        labels = np.asarray(fitted.predict(matrix))
        subject.require("shape", labels.shape == (count,), f"predicts shape {labels.shape} for {count} rows")
        subject.require("shape", np.isfinite(labels.astype(np.float64)).all(), "predicts what is not a finite number")
        if subject.kind.task == "classification":
            _probabilities(subject, fitted, matrix, labels)


def _probabilities(subject: Subject, fitted: Any, matrix: Matrix, labels: Matrix) -> None:
    classes = [float(label) for label in fitted.classes_]
    subject.require("shape", classes == [0.0, 1.0], f"has the classes {classes}, expected 0.0 and 1.0")
    both = np.asarray(fitted.predict_proba(matrix))
    subject.require("shape", both.shape == (len(matrix), 2), f"gives probabilities of shape {both.shape}")
    proper = ((both >= 0) & (both <= 1)).all() and np.allclose(both.sum(axis=1), 1.0, rtol=0, atol=_CLOSE)
    subject.require("shape", proper, "gives probabilities that are not in 0 to 1, or do not add up to 1")
    agree = ((both[:, 1] > 0.5) == (labels == 1.0)).all()
    subject.require("shape", agree, "predicts another label than its probability says")


def deterministic(subject: Subject) -> None:
    """Two estimators of one recipe, fitted on the same rows, predict the same, whatever numpy's global chance is."""
    matrix = subject.rows(UNSEEN, 3)
    before = np.random.get_state()
    try:
        np.random.seed(1)
        state = pickle.dumps(np.random.get_state())
        first = subject.estimate(subject.fitted(), matrix)
        untouched = pickle.dumps(np.random.get_state()) == state
        np.random.seed(2)
        second = subject.estimate(subject.fitted(), matrix)
    finally:
        np.random.set_state(before)
    subject.require(
        "deterministic", _near(first, second), "predicts otherwise when it is fitted again on the same rows"
    )
    subject.require("deterministic", untouched, "draws from numpy's global chance; give it a seed of its own")


def pure(subject: Subject) -> None:
    """Fitting and predicting leave their inputs alone, and predicting leaves the model alone."""
    matrix, unseen = np.array(subject.rows(TRAINED, 1)), np.array(subject.rows(UNSEEN, 4))
    target = np.array(subject.target(matrix, 101))
    kept = [array.copy() for array in (matrix, target, unseen)]
    fitted = subject.built().fit(matrix, target)
    first = subject.estimate(fitted, unseen)
    subject.estimate(fitted, np.array(subject.rows(UNSEEN, 5)))
    second = subject.estimate(fitted, unseen)
    same = all(np.array_equal(old, new) for old, new in zip(kept, (matrix, target, unseen), strict=True))
    subject.require("pure", same, "changes its input")
    subject.require("pure", _near(first, second), "predicts otherwise after it has predicted other rows")


def rows_apart(subject: Subject) -> None:
    """A row's prediction does not depend on the rows beside it."""
    fitted, matrix = subject.fitted(), subject.rows(UNSEEN, 6)
    together = subject.estimate(fitted, matrix)
    alone = np.concatenate([subject.estimate(fitted, matrix[at : at + 1]) for at in range(20)])
    subject.require("rows_apart", _near(together[:20], alone), "predicts a row otherwise when others stand beside it")
    turned = subject.estimate(fitted, matrix[::-1].copy())[::-1]
    subject.require(
        "rows_apart", _near(together, turned), "predicts a row otherwise when the rows are in another order"
    )


def refit(subject: Subject) -> None:
    """Fitting again forgets what was fitted before."""
    matrix, fresh = subject.rows(UNSEEN, 7), subject.fitted(seed=8)
    again = subject.fitted(seed=9)
    rows = subject.rows(TRAINED, 8)
    again.fit(rows, subject.target(rows, 108))
    same = _near(subject.estimate(fresh, matrix), subject.estimate(again, matrix))
    subject.require("refit", same, "remembers an earlier fit")


def units(subject: Subject) -> None:
    """The unit of a feature does not matter: scaling is inside. A rule about a named feature may depend on its unit."""
    if subject.kind.needs:
        return
    matrix, rows = subject.rows(UNSEEN, 10), subject.rows(TRAINED, 1)
    target = subject.target(rows, 101)
    factors = 2.0 ** np.linspace(-9, 9, rows.shape[1]).round()  # powers of two, which round nothing
    plain = subject.estimate(subject.built().fit(rows, target), matrix)
    scaled = subject.estimate(subject.built().fit(rows * factors, target), matrix * factors)
    subject.require(
        "units", _near(plain, scaled, 1e-6), "predicts otherwise when a feature is in another unit; scale inside it"
    )


def compiled(subject: Subject) -> None:
    """The model compiles, equals its estimator on unseen rows, and is made again from its spec bit for bit."""
    fitted, matrix = subject.fitted(), subject.rows(UNSEEN, 11)
    model = _compiled(subject, "compiled", fitted)
    try:
        parity(model, fitted, matrix, subject.kind.name)
    except BtcfsError as exc:
        raise ModelLawBroken(f"compiled: {exc}") from exc
    spec, arrays = model.spec()
    again = Compiled.from_spec(json.loads(json.dumps(spec)), arrays)
    expected = model.predict_many(matrix).tolist()
    subject.require("compiled", again.predict_many(matrix).tolist() == expected, "is another model after its spec")
    alone = [model.predict(row) for row in matrix]
    subject.require("compiled", alone == expected, "gives one row other bits than many")


def missing(subject: Subject) -> None:
    """A missing value is refused or handled, as the recipe declares; where it is handled, as the estimator does."""
    fitted, kind = subject.fitted(), subject.kind
    model = _compiled(subject, "missing", fitted)
    subject.require(
        "missing", model.missing == kind.missing, f"declares missing={kind.missing!r}, compiled it is {model.missing!r}"
    )
    matrix = np.array(subject.rows(UNSEEN, 12))
    matrix[::3, 1] = np.nan
    try:
        given = model.predict_many(matrix)
    except SchemaError:
        subject.require(
            "missing", kind.missing == "refused", "declares that it handles missing values, and refuses one"
        )
        return
    subject.require("missing", kind.missing == "handled", "declares that it refuses missing values, and takes one")
    subject.require("missing", _near(given, subject.estimate(fitted, matrix)), "handles them otherwise when compiled")


def _compiled(subject: Subject, law: str, fitted: Any) -> Compiled:
    try:
        return compile_pipeline(fitted, subject.kind.task)
    except BtcfsError as exc:
        raise ModelLawBroken(f"{law}: model {subject.kind.name!r} cannot be compiled: {exc}") from exc


def _near(first: Matrix, second: Matrix, tolerance: float = _CLOSE) -> bool:
    return first.shape == second.shape and np.allclose(first, second, rtol=tolerance, atol=tolerance)


LAWS: dict[str, Callable[[Subject], None]] = {
    law.__name__: law for law in (shape, deterministic, pure, rows_apart, refit, units, compiled, missing)
}


def hold(law: str, kind: ModelKind, params: Mapping[str, Any]) -> None:
    """The law of that name, held against the model that is built with these parameters; ModelLawBroken if it breaks it."""
    subject = Subject(kind, params)
    with few_threads(TRAINED * len(subject.features)):
        LAWS[law](subject)


def certify_model(kind: ModelKind, **params: Any) -> list[str]:
    """The laws that the model breaks, built with these parameters, one sentence each; empty if it keeps them all.

    Needs neither pytest nor hypothesis.
    """
    findings = []
    for name in LAWS:
        try:
            hold(name, kind, params)
        except ModelLawBroken as broken:
            findings.append(str(broken))
        except Exception as exc:  # noqa: BLE001 - a stranger's estimator may raise anything
            findings.append(f"{name}: model {kind.name!r} raises {type(exc).__name__}: {exc}")
    return findings
