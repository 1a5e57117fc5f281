"""The rules of compiled models: the same numbers as their estimators, one row or many, and refusals in words."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest

from btcfs.errors import CheckFailed, DefinitionError, SchemaError
from btcfs.training.compiled import Compiled, Linear, Parts, compile_pipeline, parity
from trained import FEATURES, KINDS, fitted, rows, target

pytest.importorskip("sklearn", reason="scikit-learn is in the extra 'train'")

NAMES = sorted(KINDS)


def compiled(name: str, **params: Any) -> Compiled:
    return compile_pipeline(fitted(name, **params), KINDS[name].task)


def estimate(pipeline: Any, task: str, matrix: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """What scikit-learn itself says: the probability of 1.0, or the value."""
    if task == "regression":
        return np.ravel(pipeline.predict(matrix))
    column = list(pipeline.classes_).index(1.0)
    return np.asarray(pipeline.predict_proba(matrix)[:, column])


@pytest.mark.parametrize("name", NAMES)
def test_equal_to_the_estimator(name: str) -> None:
    """A compiled model gives the estimator's labels on every unseen row, and its numbers to 1e-9."""
    pipeline, task, unseen = fitted(name), KINDS[name].task, rows(2_000, seed=3)
    model = compile_pipeline(pipeline, task)

    given = model.predict_many(unseen)

    assert given == pytest.approx(estimate(pipeline, task, unseen), abs=1e-9, rel=1e-9)
    if task == "classification":
        assert ((given > 0.5) == (pipeline.predict(unseen) == 1.0)).all()


@pytest.mark.parametrize("name", NAMES)
def test_one_row_equals_many(name: str) -> None:
    """A row has the same prediction alone and among others, to the last bit."""
    model, unseen = compiled(name), rows(150, seed=4)

    alone = [model.predict(row) for row in unseen]

    assert alone == model.predict_many(unseen).tolist()
    assert alone[10:20] == model.predict_many(unseen[10:20]).tolist()
    assert alone == [model.predict(row) for row in np.asfortranarray(unseen)]


@pytest.mark.parametrize("name", NAMES)
def test_spec_round_trip(name: str) -> None:
    """A model made again from its spec, through JSON, predicts the same bits."""
    model, unseen = compiled(name), rows(50, seed=5)
    spec, arrays = model.spec()

    again = Compiled.from_spec(json.loads(json.dumps(spec)), arrays)

    assert again.predict_many(unseen).tolist() == model.predict_many(unseen).tolist()
    assert (again.task, again.width, again.missing) == (model.task, model.width, model.missing)


def test_trees_walked_by_a_loop() -> None:
    """A forest's probability is the mean over its trees, each walked from its root by plain comparisons."""
    pipeline = fitted("random_forest")
    scaler, forest = pipeline[0], pipeline[1]
    unseen = rows(20, seed=6)
    expected = []
    for row in unseen:
        scaled = ((row - scaler.mean_) / scaler.scale_).astype(np.float32)
        votes = []
        for member in forest.estimators_:
            tree, node = member.tree_, 0
            while tree.children_left[node] >= 0:
                low = float(scaled[tree.feature[node]]) <= tree.threshold[node]
                node = tree.children_left[node] if low else tree.children_right[node]
            votes.append(tree.value[node, 0, 1])
        expected.append(math.fsum(votes) / len(votes))

    given = compile_pipeline(pipeline, "classification").predict_many(unseen)

    assert given == pytest.approx(expected, abs=1e-12)


def test_a_row_on_the_threshold() -> None:
    """A value that rounds to a split's threshold goes the way that scikit-learn sends it."""
    pipeline = fitted("random_forest")
    scaler, tree = pipeline[0], pipeline[1].estimators_[0].tree_
    feature, threshold = int(tree.feature[0]), float(tree.threshold[0])
    at = threshold * scaler.scale_[feature] + scaler.mean_[feature]
    near = rows(201, seed=8)
    near[:, feature] = [
        np.nextafter(at, np.inf if step > 0 else -np.inf) + step * 1e-14 * at for step in range(-100, 101)
    ]

    given = compile_pipeline(pipeline, "classification").predict_many(near)

    assert given == pytest.approx(estimate(pipeline, "classification", near), abs=1e-12)


@pytest.mark.parametrize("name", [n for n in NAMES if KINDS[n].missing == "refused"])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_not_finite_is_refused(name: str, bad: float) -> None:
    """A model that does not take missing values says which feature was missing, for one row and for many."""
    model, row = compiled(name), rows(1, seed=9)
    row[0, 2] = bad

    with pytest.raises(SchemaError, match="feature 2 is"):
        model.predict(row[0])
    with pytest.raises(SchemaError, match="feature 2 of row 1"):
        model.predict_many(np.concatenate([rows(1), row]))


@pytest.mark.parametrize("name", [n for n in NAMES if KINDS[n].missing == "handled"])
def test_missing_values_are_handled_as_the_estimator_does(name: str) -> None:
    """A model that takes missing values treats them as its estimator does, and refuses infinity."""
    train, unseen = rows(300), rows(400, seed=10)
    chance = np.random.default_rng(1)
    train[chance.random(train.shape) < 0.2] = np.nan
    unseen[chance.random(unseen.shape) < 0.2] = np.nan
    task = KINDS[name].task
    pipeline = KINDS[name].estimator(FEATURES, max_iter=20).fit(train, target(task, 300))
    model = compile_pipeline(pipeline, task)

    assert model.missing == "handled"
    assert model.predict_many(unseen) == pytest.approx(estimate(pipeline, task, unseen), abs=1e-9)
    assert [model.predict(row) for row in unseen] == model.predict_many(unseen).tolist()
    with pytest.raises(SchemaError, match="inf"):
        model.predict(np.full(len(FEATURES), np.inf))


def test_huge_values_are_not_taken_for_infinite() -> None:
    """A finite value whose square overflows is predicted, not refused."""
    model = Compiled("regression", 2, Linear(np.array([1e-200, 0.0])))

    assert model.predict(np.array([1e200, 3.0])) == pytest.approx(1.0)


@pytest.mark.parametrize("shape", [(5,), (7,), (1, 6), ()])
def test_a_wrong_shape_is_refused(shape: tuple[int, ...]) -> None:
    """A vector of another shape is refused, and never stretched to fit."""
    with pytest.raises(SchemaError, match="6 features"):
        compiled("ridge").predict(np.zeros(shape))


@pytest.mark.parametrize(
    ("scaler", "options"),
    [
        ("StandardScaler", {}),
        ("StandardScaler", {"with_mean": False}),
        ("RobustScaler", {}),
        ("MinMaxScaler", {}),
        ("MaxAbsScaler", {}),
        ("SimpleImputer", {"strategy": "median"}),
    ],
)
@pytest.mark.parametrize("final", ["linear", "trees"])
def test_scalers(scaler: str, options: dict[str, Any], final: str) -> None:
    """Each scaler that is taken apart gives the numbers that scikit-learn gives with it, before either kind of model."""
    import sklearn.impute
    import sklearn.preprocessing
    from sklearn.ensemble import ExtraTreesRegressor
    from sklearn.linear_model import LinearRegression
    from sklearn.pipeline import make_pipeline

    first = getattr(sklearn.impute if scaler == "SimpleImputer" else sklearn.preprocessing, scaler)(**options)
    last = LinearRegression() if final == "linear" else ExtraTreesRegressor(10, max_depth=6, random_state=0)
    pipeline = make_pipeline(first, "passthrough", last).fit(rows(300), target("regression", 300))
    unseen = rows(300, seed=11)
    if scaler == "SimpleImputer":
        unseen[::3, 1] = np.nan

    found = parity(compile_pipeline(pipeline, "regression"), pipeline, unseen)

    assert (found.rows, found.flips) == (300, 0)


def test_only_one_class() -> None:
    """A classifier that saw nothing but ups, or nothing but downs, is the constant it learned."""
    for label in (0.0, 1.0):
        for name in ("random_forest", "hist_gradient_boosting", "majority"):
            pipeline = KINDS[name].estimator(FEATURES, **({"n_estimators": 2} if "forest" in name else {}))
            pipeline.fit(rows(50), np.full(50, label))
            model = compile_pipeline(pipeline, "classification")

            assert model.predict(rows(1)[0]) == pytest.approx(label, abs=1e-6)


def test_other_classes_are_refused() -> None:
    """A classifier of labels that are not 0 and 1 is refused with what they are."""
    pipeline = KINDS["logistic"].estimator(FEATURES).fit(rows(50), np.arange(50) % 2 * 2.0 - 1.0)

    with pytest.raises(DefinitionError, match=r"\[-1.0, 1.0\]"):
        compile_pipeline(pipeline, "classification")


def test_an_unknown_estimator_is_refused() -> None:
    """An estimator that cannot be taken apart is refused, with those that can and the way to add one."""
    from sklearn.neighbors import KNeighborsRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import QuantileTransformer

    data, change = rows(50), target("regression", 50)
    with pytest.raises(DefinitionError, match=r"KNeighborsRegressor .* Ridge.* btcfs_parts"):
        compile_pipeline(KNeighborsRegressor().fit(data, change), "regression")
    with pytest.raises(DefinitionError, match=r"QuantileTransformer .* StandardScaler"):
        compile_pipeline(
            make_pipeline(QuantileTransformer(n_quantiles=10), KINDS["ridge"].build()).fit(data, change), "regression"
        )


def test_a_subclass_is_not_taken_for_its_parent() -> None:
    """A subclass of a known estimator, which may predict in another way, is not compiled as if it were the parent."""
    from sklearn.linear_model import Ridge

    class Bolder(Ridge):
        def predict(self, X: Any) -> Any:
            return 2.0 * super().predict(X)

    with pytest.raises(DefinitionError, match="Bolder"):
        compile_pipeline(Bolder().fit(rows(50), target("regression", 50)), "regression")


def test_a_model_may_have_steps_of_its_own() -> None:
    """A plugin's estimator that counts its steps, or lists them, is not taken for a pipeline."""

    class Stepping:
        n_features_in_ = 2

        def __init__(self, steps: Any) -> None:
            self.steps = steps

        def btcfs_parts(self, task: str) -> Parts:
            return Parts(Linear(np.array([2.0, 0.0]), 1.0))

    for steps in (20, [0.1, 0.01], None):
        assert compile_pipeline(Stepping(steps), "regression").predict(np.array([3.0, 9.0])) == 7.0


def test_an_unfitted_pipeline_is_refused() -> None:
    """What was never fitted cannot be compiled, and the message says so."""
    with pytest.raises(DefinitionError, match="has not been fitted"):
        compile_pipeline(KINDS["ridge"].build(), "regression")


class _Wrong:
    """A stranger's estimator whose compiled parts are not what it predicts."""

    def __init__(self, slip: float) -> None:
        self.slip = slip
        self.n_features_in_ = len(FEATURES)
        self.classes_ = np.array([0.0, 1.0])

    def predict_proba(self, matrix: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        up = np.full(len(matrix), 0.5 + 1e-3)
        return np.stack([1 - up, up], axis=1)

    def predict(self, matrix: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        return np.ones(len(matrix))

    def btcfs_parts(self, task: str) -> Parts:
        return Parts(Linear(np.zeros(self.n_features_in_), 0.5 + 1e-3 - self.slip))


@pytest.mark.parametrize(("slip", "said"), [(2e-3, "another label .* on 10 of 10 rows"), (1e-6, "differs .* by 1e-06")])
def test_parity_refuses(slip: float, said: str) -> None:
    """A compiled model that gives another label, or a number that is off by more than 1e-9, is refused with the row."""
    estimator = _Wrong(slip)

    with pytest.raises(CheckFailed, match=said):
        parity(compile_pipeline(estimator, "classification"), estimator, rows(10))


def test_parity_needs_rows() -> None:
    """Without a row to compare on there is no parity, and that is said."""
    estimator = _Wrong(0.0)

    with pytest.raises(CheckFailed, match="no rows"):
        parity(compile_pipeline(estimator, "classification"), estimator, np.empty((0, len(FEATURES))))
