"""The rules of the shipped models: what is offered, what it costs to list them, and what the baselines mean."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from btcfs.errors import DefinitionError
from btcfs.models import ModelKind
from btcfs.plugins import installed_plugins
from distributions import run
from trained import FEATURES, KINDS, bundle, rows, target

RETURN = FEATURES.index("return_1")


def test_what_is_offered() -> None:
    """The models of the guide and the honest baselines are installed, for both tasks."""
    models = installed_plugins([]).models()

    assert {name for name, kind in models.items() if not kind.baseline} >= {
        *("logistic", "random_forest", "hist_gradient_boosting"),
        *("ridge", "random_forest_regressor", "hist_gradient_boosting_regressor"),
    }
    assert {name for name, kind in models.items() if kind.baseline} >= {"majority", "persistence", "zero_return"}
    assert all(kind.description for kind in models.values())


def test_counterparts() -> None:
    """Every model names one for the other task, so that one name trains both."""
    for kind in KINDS.values():
        other = KINDS[kind.counterpart]

        assert {kind.task, other.task} == {"classification", "regression"}
        assert kind.baseline == other.baseline


def test_listing_imports_no_library(tmp_path: Path) -> None:
    """The models are listed without importing scikit-learn or numpy."""
    code = "import sys; from btcfs.plugins import Plugins; Plugins().models(); print(*sys.modules)"

    loaded = {name.partition(".")[0] for name in run(code, tmp_path).stdout.split()}

    assert "btcfs_models" in loaded
    assert loaded & {"sklearn", "numpy", "scipy", "pandas"} == set()


def test_predicting_needs_no_scikit_learn(tmp_path: Path) -> None:
    """A saved bundle is loaded and predicts where scikit-learn cannot be imported."""
    pytest.importorskip("sklearn", reason="scikit-learn is in the extra 'train'")
    made = bundle(tmp_path / "models", "random_forest", "hist_gradient_boosting_regressor")
    vector = rows(1)[0]
    code = (
        "import sys; sys.modules['sklearn'] = None\n"
        "import numpy as np; from btcfs.training.bundle import load_bundle\n"
        f"made = load_bundle({str(made.path)!r}); vector = np.array({vector.tolist()!r})\n"
        "print(made.classification.predict(vector).hex(), made.regression.predict(vector).hex())"
    )

    done = run(code, tmp_path)

    assert done.stdout.split() == [made.classification.predict(vector).hex(), made.regression.predict(vector).hex()]


def test_without_scikit_learn_the_remedy_is_named(tmp_path: Path) -> None:
    """Where scikit-learn is missing, building a model says what to install."""
    code = (
        "import sys; sys.modules['sklearn'] = None\n"
        "from btcfs import ConfigError; from btcfs.plugins import Plugins\n"
        "try: Plugins().models()['logistic'].build()\n"
        "except ConfigError as exc: print(exc)"
    )

    said = run(code, tmp_path).stdout

    assert "model 'logistic' needs scikit-learn" in said
    assert "pip install 'btcfs[train]'" in said


def test_the_forest_has_the_settings_of_the_guide() -> None:
    """The forest has 300 trees of depth 20, grown on all processors, behind a standard scaler."""
    pytest.importorskip("sklearn", reason="scikit-learn is in the extra 'train'")

    pipeline = KINDS["random_forest"].estimator(FEATURES)

    forest = pipeline[-1].get_params()
    assert (forest["n_estimators"], forest["max_depth"], forest["n_jobs"]) == (300, 20, -1)
    assert type(pipeline[0]).__name__ == "StandardScaler"


def predictions(name: str, X: np.ndarray[Any, Any], y: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    pytest.importorskip("sklearn", reason="scikit-learn is in the extra 'train'")
    return np.asarray(KINDS[name].estimator(FEATURES).fit(X, y).predict(X))


def test_majority() -> None:
    """The majority says what most training rows were, for every row."""
    labels = np.array([1.0] * 60 + [0.0] * 40)

    assert set(predictions("majority", rows(100), labels)) == {1.0}
    assert set(predictions("majority", rows(100), 1.0 - labels)) == {0.0}


def test_persistence() -> None:
    """Persistence says up exactly where the last return was above zero, however often that was wrong."""
    X = rows(200)
    up = (X[:, RETURN] > 0).astype(float)

    assert predictions("persistence", X, target("classification", 200)).tolist() == up.tolist()
    assert predictions("persistence", X, 1.0 - up).tolist() == up.tolist()


def test_regression_baselines() -> None:
    """Zero return says 0, mean return the training mean, last return the last return in percent."""
    X, y = rows(100), target("regression", 100)

    assert set(predictions("zero_return", X, y)) == {0.0}
    assert predictions("mean_return", X, y) == pytest.approx(np.full(100, y.mean()))
    assert predictions("last_return", X, y) == pytest.approx(100.0 * X[:, RETURN])


def test_a_rule_needs_its_feature() -> None:
    """A rule about a feature that the view has not is refused, with the feature's name."""
    with pytest.raises(DefinitionError, match="'persistence' is a rule about return_1"):
        KINDS["persistence"].estimator(["close", "volume"])


@pytest.mark.parametrize("changes", [{"task": "clustering"}, {"missing": "ignored"}])
def test_a_wrong_declaration_is_refused(changes: dict[str, Any]) -> None:
    """A recipe of an unknown task, or of an unknown way with missing values, is refused at once."""
    with pytest.raises(DefinitionError, match=next(iter(changes.values()))):
        ModelKind(**{"name": "odd", "task": "regression", "build": object, **changes})
