"""Commits of another process under the load of many clients, over real sockets."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from btcfs.connection import connect
from btcfs.serving import PREDICTIONS
from served import filled, inference_view, market
from under_ingest import asked_while_committing, outputs, resting, saved, serving, untimely

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

    with serving(tmp_path / "store", tmp_path / "models") as (port, _):
        requests = {"/predict": {}, "/v1/predict": {}, "/v1/features": None}
        answers, commits = asked_while_committing(
            tmp_path / "store", port, requests, clients=64, commits=COMMITS, every=1.0
        )

    assert {answer.status for answer in answers} == {200}
    numbers = [(resting(answer, expected, features), answer) for answer in answers]
    assert [untimely(number, answer, commits) for number, answer in numbers if untimely(number, answer, commits)] == []
    assert {number for number, _ in numbers} == set(range(COMMITS + 1))
    predicted = {a.content["prediction_id"] for a in answers if "prediction_id" in a.content}
    with connect("duckdb", path=tmp_path / "store") as store:
        assert predicted == set(store.read(PREDICTIONS, columns=["prediction_id"])["prediction_id"])
