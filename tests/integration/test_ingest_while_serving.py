"""Commits of another process under the load of many clients, over real sockets."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from btcfs.connection import connect
from btcfs.definitions import Label
from btcfs.serving import PREDICTIONS
from served import filled, inference_view, market
from under_ingest import Answer, asked_while_committing, outputs, serving, until_seen, untimely

pytest.importorskip("uvicorn", reason="uvicorn is in the extra 'serve'")
pytest.importorskip("sklearn", reason="scikit-learn is in the extra 'train'")

COMMITS = 8


@pytest.mark.slow
def test_a_commit_is_seen_whole_and_at_once_under_load(tmp_path: Path, frame_source: Callable[..., Any]) -> None:
    """With 64 clients and a commit a second, no request fails, no vector mixes two commits, and whoever asks after a
    commit returned is answered from it; and all that was predicted is logged."""
    with connect("duckdb", path=tmp_path / "store", defaults={"symbol": "BTC-USD"}) as store:
        filled(store, frame_source(market(900)), days=10)
        bundle = saved(store, tmp_path / "models")
        expected = outputs(bundle, store, COMMITS)
        [before] = store.get_online_features(inference_view(store), [{"symbol": "BTC-USD"}])
        features = dict(zip(bundle.features, before.values.tolist(), strict=True))

    with serving(tmp_path / "store", tmp_path / "models") as port:
        requests = {"/predict": {}, "/v1/predict": {}, "/v1/features": None}
        answers, commits = asked_while_committing(
            tmp_path / "store", port, requests, clients=64, commits=COMMITS, every=1.0
        )

    assert {answer.status for answer in answers} == {200}
    numbers = [(resting(answer, expected, features), answer) for answer in answers]
    assert [untimely(number, answer, commits) for number, answer in numbers if untimely(number, answer, commits)] == []
    assert {number for number, _ in numbers} == set(range(COMMITS + 1))
    assert max(until_seen(numbers, commits)) <= 1.0
    predicted = {a.content["prediction_id"] for a in answers if "prediction_id" in a.content}
    with connect("duckdb", path=tmp_path / "store") as store:
        assert predicted == set(store.read(PREDICTIONS, columns=["prediction_id"])["prediction_id"])


def resting(answer: Answer, expected: dict[tuple[float, float], int], before: dict[str, float]) -> int:
    """The commit whose vector an answer shows or was predicted from."""
    content = answer.content
    if "features" in content:
        values = content["features"]
        if values == before:
            return 0
        assert len(set(values.values())) == 1, f"a vector of two commits: {values}"
        return int(next(iter(values.values())))
    output = (content["classification"]["probability"], content["regression"]["price_change_pct"])
    assert output in expected, f"a prediction from a vector that never was: {output}"
    return expected[output]


def saved(store: Any, folder: Path) -> Any:
    """An active bundle of linear models whose output tells vectors apart."""
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    from btcfs.training.bundle import save_bundle
    from btcfs.training.registry import Registry

    random = np.random.default_rng(0)
    view = inference_view(store)
    rows = random.standard_normal((300, len(view.features))) * 30
    estimators = {
        "classification": make_pipeline(StandardScaler(), LogisticRegression()).fit(rows, random.random(300) > 0.5),
        "regression": make_pipeline(StandardScaler(), Ridge()).fit(rows, random.standard_normal(300)),
    }
    bundle = save_bundle(
        folder, estimators=estimators, view=view, label=Label(), parity_rows=rows, metadata={}, metrics={}
    )
    Registry(folder).activate(bundle.version, checks=[], force_reason="a test")
    return bundle
