"""A predictor over a store with a shadow: same answers, and what the shadow found is in the metrics."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from btcfs.connection import connect
from btcfs.transfer.copying import copy_store
from btcfs.transfer.shadow import ShadowStore
from served import OneModel, bundle_for, filled, inference_view, market

pytest.importorskip("starlette", reason="starlette is in the extra 'serve'")
from starlette.testclient import TestClient

from btcfs.serving import create_app


def test_the_metrics_of_a_shadow(frame_source: Callable[..., Any], tmp_path: Path) -> None:
    """Predictions come from the primary; reads and disagreements are told by outcome, view and feature."""
    defaults = {"symbol": "BTC-USD"}
    shadow = connect("memory", defaults=defaults)
    with connect("duckdb", path=tmp_path / "store", defaults=defaults) as primary:
        ingest = filled(primary, frame_source(market()))
        copy_store(primary, shadow)
        group = ingest.feature_group
        rows = shadow.read(group)
        shadow.write(group, rows.iloc[-1:].assign(rsi_14=rows["rsi_14"].iloc[-1] + 1.0))
        view = inference_view(primary)
        [expected] = primary.get_online_features(view, [{"symbol": "BTC-USD"}])
        store = ShadowStore(primary, shadow)
        models = OneModel(bundle_for(view))
        with TestClient(create_app(store=store, models=models, log_predictions=False)) as client:
            answer = client.post("/predict", json={}).json()
            store.drain()
            text = client.get("/metrics").text
        store.close()

    assert answer["classification"]["probability"] == models.bundle.classification.predict(expected.values)
    assert re.search(r'btcfs_shadow_reads\{outcome="compared"\} [1-9]', text)
    found = re.findall(r'btcfs_shadow_disagreements\{where="[^"]*",feature="(\w+)"\} [1-9]', text)
    assert set(found) == {"rsi_14"}
    names = re.findall(r"# TYPE (\w+)", text)
    assert len(names) == len(set(names))
