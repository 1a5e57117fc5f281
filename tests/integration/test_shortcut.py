"""The way past the table of routes: nothing but the time of a prediction differs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from btcfs import memory
from served import OneModel, bundle_for, filled, inference_view, market

pytest.importorskip("starlette", reason="starlette is in the extra 'serve'")
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.testclient import TestClient

from btcfs.serving import composed_lifespan, create_app


@pytest.fixture
def app(frame_source: Callable[..., Any]) -> Iterator[Starlette]:
    with memory.connect(defaults={"symbol": "BTC-USD"}) as store:
        filled(store, frame_source(market(900)), days=10)
        yield create_app(store=store, models=OneModel(bundle_for(inference_view(store))))


def test_other_methods_and_paths_are_refused_as_ever(app: Starlette) -> None:
    """GET of the route is 405 with what is allowed, and a path beside it 404, each as a problem document."""
    with TestClient(app) as client:
        wrong = client.get("/predict")
        beside = client.post("/predictions", json={})

        assert client.post("/predict", json={}).status_code == 200
    assert (wrong.status_code, wrong.headers["allow"]) == (405, "POST")
    assert beside.status_code == 404
    assert {a.headers["content-type"] for a in (wrong, beside)} == {"application/problem+json"}


def test_it_is_found_where_the_app_is_mounted(app: Starlette) -> None:
    """Under a parent's prefix the route is the prefix and its path, and nothing else."""
    parent = Starlette(routes=[Mount("/deep/btcfs", app=app)], lifespan=composed_lifespan(app))
    with TestClient(parent) as client:
        assert client.post("/deep/btcfs/predict", json={}).status_code == 200
        assert client.post("/deep/btcfs/v1/predict", json={}).status_code == 200
        assert client.post("/predict", json={}).status_code == 404
        assert client.post("/deep/btcfs/deep/btcfs/predict", json={}).status_code == 404


def test_middleware_that_is_added_is_around_it_too(app: Starlette) -> None:
    """What an app puts around its routes, such as a check of who asks, is not got past."""

    class Refusing:
        def __init__(self, inner: Any) -> None:
            self.inner = inner

        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] == "http" and not any(name == b"x-key" for name, _ in scope["headers"]):
                await send({"type": "http.response.start", "status": 401, "headers": []})
                await send({"type": "http.response.body", "body": b""})
                return
            await self.inner(scope, receive, send)

    app.add_middleware(Refusing)
    with TestClient(app) as client:
        assert client.post("/predict", json={}).status_code == 401
        assert client.post("/predict", json={}, headers={"x-key": "1"}).status_code == 200
