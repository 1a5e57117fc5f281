"""A predictor over a filled store, in memory and in DuckDB, and its client."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest

from btcfs.connection import connect
from btcfs.pipeline.ingest import Ingest
from served import OneModel, bundle_for, filled, inference_view, market

pytest.importorskip("starlette", reason="starlette is in the extra 'serve'")

from starlette.applications import Starlette
from starlette.testclient import TestClient

from btcfs.serving import create_app

TOKEN = "correct horse"


@attrs.define
class World:
    """A filled store, the candles it was filled from and more of them, a model, and a client of the app."""

    store: Any
    ingest: Ingest
    candles: Any
    models: OneModel
    app: Starlette
    client: TestClient


@pytest.fixture(params=["memory", "duckdb"])
def world(frame_source: Callable[..., Any], request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    """The market of the store ends two days before the candles do."""
    candles = market()
    defaults = {"symbol": "BTC-USD"}
    options = {"path": tmp_path / "store"} if request.param == "duckdb" else {}
    with connect(request.param, defaults=defaults, **options) as store:
        ingest = filled(store, frame_source(candles.iloc[:-2]))
        models = OneModel(bundle_for(inference_view(store)))
        app = create_app(store=store, models=models, admin_token=TOKEN, body_seconds=0.5)
        with TestClient(app, raise_server_exceptions=False) as client:
            yield World(store, ingest, candles, models, app, client)


def predict(world: World, **body: Any) -> Any:
    return world.client.post("/predict", json=body)
