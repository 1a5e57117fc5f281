"""A predictor over a filled store, in memory and in DuckDB, and its client."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
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


@contextmanager
def opened(backend: str, folder: Path, frame_source: Callable[..., Any]) -> Iterator[World]:
    """The market of the store ends two days before the candles do."""
    candles = market()
    options = {"path": folder / "store"} if backend == "duckdb" else {}
    with connect(backend, defaults={"symbol": "BTC-USD"}, **options) as store:
        ingest = filled(store, frame_source(candles.iloc[:-2]))
        models = OneModel(bundle_for(inference_view(store)))
        app = create_app(store=store, models=models, admin_token=TOKEN, body_seconds=0.5)
        with TestClient(app, raise_server_exceptions=False) as client:
            yield World(store, ingest, candles, models, app, client)


@pytest.fixture(params=["memory", "duckdb"])
def world(frame_source: Callable[..., Any], request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    with opened(request.param, tmp_path, frame_source) as world:
        yield world


@pytest.fixture(scope="module", params=["memory", "duckdb"])
def lasting_world(
    frame_source: Callable[..., Any], request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    """One world for a whole file, whose tests only ask."""
    with opened(request.param, tmp_path_factory.mktemp("world"), frame_source) as world:
        yield world


def predict(world: World, **body: Any) -> Any:
    return world.client.post("/predict", json=body)
