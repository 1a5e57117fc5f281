"""btcfs plugins check holds a stranger's models to the model kit, as it does indicators."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from distributions import btcfs, install, run

pytest.importorskip("sklearn", reason="scikit-learn is in the extra 'train'")

MODEL = """
import numpy as np
from btcfs import ModelKind, hookimpl
from sklearn.dummy import DummyRegressor

class Coin(DummyRegressor):
    '''Predicts noise of its own.'''
    def predict(self, X):
        return np.random.default_rng().normal(size=len(X))

@hookimpl
def btcfs_models():
    return [ModelKind("steady", "regression", {steady}), ModelKind("coin", "regression", lambda **p: Coin(**p))]
"""


def test_a_model_that_breaks_a_law_fails_the_check(tmp_path: Path) -> None:
    """A model that predicts otherwise each time is named with the law, and the exit code is 1; another is as it should be."""
    code = MODEL.format(steady="lambda **p: DummyRegressor(**p)")
    install(tmp_path, "btcfs-coins", "btcfs_coins", code, btcfs="coins")

    done = btcfs("plugins", "check", "coins", "--json", site=tmp_path)
    text = btcfs("plugins", "check", "coins", site=tmp_path)

    value = json.loads(done.stdout)
    assert done.returncode == text.returncode == 1, done.stderr
    assert value["ok"] is False
    assert any("deterministic" in finding or "again" in finding for finding in value["models"]["coin"])
    assert "✗ coin" in text.stderr + text.stdout


def test_checking_needs_no_test_runner(tmp_path: Path) -> None:
    """The certificates of indicators and models are made without pytest and hypothesis."""
    code = (
        "import sys; sys.modules['pytest'] = sys.modules['hypothesis'] = None\n"
        "from btcfs.testing.indicators import certify; from btcfs.testing.model_laws import certify_model\n"
        "import btcfs; print(btcfs.train.__name__)"
    )

    done = run(code, tmp_path)

    assert done.stdout.strip() == "train", done.stderr
