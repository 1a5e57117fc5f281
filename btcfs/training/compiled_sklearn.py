"""Fitted scikit-learn estimators taken apart into plain arrays, without importing scikit-learn."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import attrs
import numpy as np

from btcfs.errors import DefinitionError
from btcfs.models import Task
from btcfs.training.compiled_linear import Linear
from btcfs.training.compiled_scaling import Floats
from btcfs.training.compiled_trees import Tree, Trees, combined

Link = Literal["identity", "logit"]


@attrs.frozen(eq=False)
class Parts:
    """What a fitted estimator comes to: a form, and the link from its score to the prediction."""

    form: Linear | Trees
    link: Link = "identity"
    handles_missing: bool = False


def pipeline_steps(estimator: Any) -> list[Any]:
    """The steps of a Pipeline in order, or the estimator alone, whose own ``steps`` may mean anything else."""
    steps = getattr(estimator, "steps", None)
    if isinstance(steps, list) and all(isinstance(step, tuple) and len(step) == 2 for step in steps):
        return [step for _, step in steps]
    return [estimator]


def scaling_steps(step: Any) -> tuple[tuple[str, Floats], ...]:
    """The operations of a fitted transformer. DefinitionError for one that is not known."""
    if step is None or step == "passthrough":
        return ()
    taken = _TRANSFORMERS.get(_known_name(step))
    if taken is None:
        raise DefinitionError(
            f"a {type(step).__name__} before the model cannot be compiled; known are {', '.join(_TRANSFORMERS)}"
        )
    return tuple(
        (name, np.ascontiguousarray(operand, dtype=np.float64)) for name, operand in taken(step) if operand is not None
    )


def parts(estimator: Any, task: Task, width: int) -> Parts:
    """The arrays of a fitted estimator; one of a plugin's own gives them by its method ``btcfs_parts(task)``.

    DefinitionError for an estimator that is not known, and for classes other than 0 and 1.
    """
    own = getattr(estimator, "btcfs_parts", None)
    if own is not None:
        result = own(task)
        if not isinstance(result, Parts):
            raise DefinitionError(f"{type(estimator).__name__}.btcfs_parts gave {result!r}, expected Parts")
        return result
    taken = _ESTIMATORS.get((task, _known_name(estimator)))
    if taken is None:
        known = [name for of, name in _ESTIMATORS if of == task]
        raise DefinitionError(
            f"a {type(estimator).__name__} cannot be compiled for {task}; known are {', '.join(known)}, "
            "and any class with a method btcfs_parts(task) that returns btcfs.training.compiled.Parts"
        )
    return taken(estimator, width)


def _known_name(estimator: Any) -> str:
    """The class name of scikit-learn's own classes; a subclass may predict in another way, so it is not known."""
    kind = type(estimator)
    return kind.__name__ if kind.__module__.partition(".")[0] == "sklearn" else ""


def _constant(value: float, width: int) -> Parts:
    return Parts(Linear(np.zeros(width), float(value)))


def _up(estimator: Any) -> int | None:
    """The position of class 1 among the classes seen in training, None if there was none of it."""
    classes = [float(label) for label in np.asarray(estimator.classes_).ravel()]
    if not set(classes) <= {0.0, 1.0}:
        raise DefinitionError(f"the classifier was fitted on the classes {classes}, expected 0.0 (not up) and 1.0 (up)")
    return classes.index(1.0) if 1.0 in classes else None


def _standard(step: Any) -> list[tuple[str, Any]]:
    return [
        ("subtract", step.mean_ if step.with_mean else None),
        ("divide", step.scale_ if step.with_std else None),
    ]


def _robust(step: Any) -> list[tuple[str, Any]]:
    return [
        ("subtract", step.center_ if step.with_centering else None),
        ("divide", step.scale_ if step.with_scaling else None),
    ]


def _min_max(step: Any) -> list[tuple[str, Any]]:
    if step.clip:
        raise DefinitionError("a MinMaxScaler with clip=True cannot be compiled; leave clip out")
    return [("multiply", step.scale_), ("add", step.min_)]


def _imputer(step: Any) -> list[tuple[str, Any]]:
    statistics = np.asarray(step.statistics_, dtype=np.float64)
    if step.add_indicator or np.isnan(statistics).any() or not np.isnan(step.missing_values):
        raise DefinitionError("a SimpleImputer is compiled only if it fills NaN in every column and adds none")
    return [("fill", statistics)]


def _logistic(estimator: Any, width: int) -> Parts:
    if _up(estimator) is None or len(estimator.classes_) != 2:
        raise DefinitionError("a LogisticRegression of one class cannot be compiled")
    return Parts(Linear(_weights(estimator.coef_), float(np.ravel(estimator.intercept_)[0])), "logit")


def _linear(estimator: Any, width: int) -> Parts:
    return Parts(Linear(_weights(estimator.coef_), float(np.ravel(estimator.intercept_)[0])))


def _weights(coefficients: Any) -> Floats:
    array = np.atleast_2d(np.asarray(coefficients, dtype=np.float64))
    if len(array) != 1:
        raise DefinitionError(f"a linear model of {len(array)} targets cannot be compiled, expected one")
    return np.ascontiguousarray(array[0])


def _forest(estimator: Any, width: int) -> Parts:
    members = getattr(estimator, "estimators_", [estimator])
    column = 0
    if hasattr(estimator, "classes_"):
        up = _up(estimator)
        if up is None or len(estimator.classes_) == 1:
            return _constant(0.0 if up is None else 1.0, width)
        column = up
    trees = [_sklearn_tree(member.tree_, column) for member in members]
    return Parts(combined(trees, width=width, single=True, divisor=float(len(trees))))


def _sklearn_tree(tree: Any, column: int) -> Tree:
    return Tree(
        feature=tree.feature,
        threshold=tree.threshold,
        left=tree.children_left,
        right=tree.children_right,
        value=tree.value[:, 0, column],
        missing_left=tree.missing_go_to_left,
    )


def _boosted_classifier(estimator: Any, width: int) -> Parts:
    up = _up(estimator)
    if up is None or len(estimator.classes_) == 1:
        return _constant(0.0 if up is None else 1.0, width)
    return _boosted(estimator, width, "logit")


def _boosted_regressor(estimator: Any, width: int) -> Parts:
    # Only these losses predict their score itself; the others put a logarithm between.
    if estimator.loss not in ("squared_error", "absolute_error", "quantile"):
        raise DefinitionError(f"boosted trees with the loss {estimator.loss!r} cannot be compiled")
    return _boosted(estimator, width, "identity")


def _boosted(estimator: Any, width: int, link: Link) -> Parts:
    # scikit-learn has no public way to these; a release that renames them fails loudly when a bundle is saved.
    rounds, start = estimator._predictors, float(np.ravel(estimator._baseline_prediction)[0])
    if not rounds:
        return Parts(Linear(np.zeros(width), start), link)
    trees = [_boosted_tree(predictor.nodes) for one in rounds for predictor in one]
    form = combined(trees, width=width, single=False, intercept=start)
    return Parts(form, link, handles_missing=True)


def _boosted_tree(nodes: Any) -> Tree:
    if nodes["is_categorical"].any():
        raise DefinitionError("boosted trees with categorical features cannot be compiled")
    leaf = nodes["is_leaf"].astype(bool)
    return Tree(
        feature=nodes["feature_idx"],
        threshold=nodes["num_threshold"],
        left=np.where(leaf, -1, nodes["left"].astype(np.int64)),
        right=np.where(leaf, -1, nodes["right"].astype(np.int64)),
        value=nodes["value"],
        missing_left=nodes["missing_go_to_left"],
    )


def _dummy_classifier(estimator: Any, width: int) -> Parts:
    if estimator.strategy != "prior":
        raise DefinitionError(f"a DummyClassifier of strategy {estimator.strategy!r} cannot be compiled, only 'prior'")
    up = _up(estimator)
    return _constant(0.0 if up is None else float(estimator.class_prior_[up]), width)


def _dummy_regressor(estimator: Any, width: int) -> Parts:
    return _constant(float(np.ravel(estimator.constant_)[0]), width)


_TRANSFORMERS: dict[str, Callable[[Any], list[tuple[str, Any]]]] = {
    "StandardScaler": _standard,
    "RobustScaler": _robust,
    "MinMaxScaler": _min_max,
    "MaxAbsScaler": lambda step: [("divide", step.scale_)],
    "SimpleImputer": _imputer,
}
_ESTIMATORS: dict[tuple[Task, str], Callable[[Any, int], Parts]] = {
    ("classification", "LogisticRegression"): _logistic,
    ("classification", "LogisticRegressionCV"): _logistic,
    ("classification", "DecisionTreeClassifier"): _forest,
    ("classification", "RandomForestClassifier"): _forest,
    ("classification", "ExtraTreesClassifier"): _forest,
    ("classification", "HistGradientBoostingClassifier"): _boosted_classifier,
    ("classification", "DummyClassifier"): _dummy_classifier,
    ("regression", "LinearRegression"): _linear,
    ("regression", "Ridge"): _linear,
    ("regression", "RidgeCV"): _linear,
    ("regression", "Lasso"): _linear,
    ("regression", "LassoCV"): _linear,
    ("regression", "ElasticNet"): _linear,
    ("regression", "ElasticNetCV"): _linear,
    ("regression", "DecisionTreeRegressor"): _forest,
    ("regression", "RandomForestRegressor"): _forest,
    ("regression", "ExtraTreesRegressor"): _forest,
    ("regression", "HistGradientBoostingRegressor"): _boosted_regressor,
    ("regression", "DummyRegressor"): _dummy_regressor,
}
