"""A predictor mounted in another Starlette app, with a model trained on the spot, asked once."""

import tempfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route
from starlette.testclient import TestClient

from btcfs import Label, connect
from btcfs.connection import open_source
from btcfs.pipeline.ingest import Ingest
from btcfs.pipeline.standard import create_views
from btcfs.plugins import installed_plugins
from btcfs.serving import composed_lifespan, create_app


class Constant:
    """A model that always answers the same; ``btcfs train`` makes better ones."""

    def __init__(self, value: float) -> None:
        self.value = value

    def predict(self, values: np.ndarray) -> float:
        return self.value


class OneModel:
    """What ``create_app`` asks of a models folder, for a model made by hand."""

    def __init__(self, view) -> None:
        self.bundle = SimpleNamespace(
            version="by-hand",
            features=view.features,
            view_fingerprint=view.fingerprint,
            label=Label(),
            classification=Constant(0.52),
            regression=Constant(0.1),
        )

    def active(self):
        return self.bundle


async def home(request) -> PlainTextResponse:
    return PlainTextResponse("an app of its own")


with (
    tempfile.TemporaryDirectory() as folder,
    connect("duckdb", path=Path(folder), defaults={"symbol": "BTC-USD"}) as store,
):
    ingest = Ingest(store, open_source("sample", installed_plugins(), {"seed": 7}))
    ingest.historical(30)
    views = create_views(store, ingest.feature_group, Label())

    predictor = create_app(store=store, models=OneModel(views.inference))
    app = Starlette(
        routes=[Route("/", home), Mount("/btcfs", app=predictor)],
        lifespan=composed_lifespan(predictor),
    )
    with TestClient(app) as client:
        print(client.get("/").text)
        print(client.post("/btcfs/predict", json={}).json())
