"""The predictor as an app: its model exchanged, mounted beside others, measured and described."""

from __future__ import annotations

import attrs
import pytest

from btcfs.errors import SchemaError, StoreUnavailable
from served import OneModel, bundle_for, inference_view

pytest.importorskip("starlette", reason="starlette is in the extra 'serve'")

from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.testclient import TestClient

from btcfs.serving import composed_lifespan, create_app
from predicting import TOKEN, World, predict

pytest_plugins = ["predicting"]


def test_reload_exchanges_the_model_and_a_bad_one_leaves_it(world: World) -> None:
    """A reload serves the new model; one that is refused is a problem, and the running model goes on."""
    admin = {"Authorization": f"Bearer {TOKEN}"}
    view = inference_view(world.store)
    world.models.bundle = bundle_for(view, "v20240602T000000Z", seed=2)
    done = world.client.post("/v1/reload", headers=admin)
    world.models.bundle = SchemaError("model.npz does not have the SHA-256 written in bundle.json")
    tampered = world.client.post("/v1/reload", headers=admin)
    other_order = attrs.evolve(bundle_for(view), features=tuple(reversed(view.features)))
    world.models.bundle = other_order
    wrong_order = world.client.post("/v1/reload", headers=admin)
    world.models.bundle = attrs.evolve(bundle_for(view), view_fingerprint="0" * 64)
    no_view = world.client.post("/v1/reload", headers=admin)

    assert done.json() == {"active": "v20240602T000000Z"}
    assert (tampered.status_code, wrong_order.status_code, no_view.status_code) == (422, 409, 404)
    assert predict(world).json()["model_version"] == "v20240602T000000Z"
    assert "not stored" in world.client.get("/ready").json()["refused_model"]


def test_without_a_model_the_app_lives_but_is_not_ready(world: World) -> None:
    """Liveness is not readiness."""
    with TestClient(create_app(store=world.store, models=OneModel()), raise_server_exceptions=False) as client:
        assert client.get("/health").status_code == 200
        assert client.get("/ready").status_code == 503
        assert client.post("/predict", json={}).status_code == 503


def test_metrics_count_what_happened(world: World) -> None:
    """Predictions by source, responses by status, the latency histogram and the model are in the metrics."""
    predict(world)
    predict(world)
    predict(world, surprise=1)
    text = world.client.get("/metrics").text

    assert 'btcfs_http_responses_total{route="/predict",status="200"} 2' in text
    assert 'btcfs_http_responses_total{route="/predict",status="422"} 1' in text
    assert 'btcfs_prediction_latency_seconds_bucket{le="+Inf"} 2' in text
    assert 'btcfs_model_info{version="v20240601T000000Z"' in text


def test_two_mounted_apps_share_nothing(world: World) -> None:
    """Two predictors in one process, mounted with composed lifespans, answer with their own models."""
    view = inference_view(world.store)
    apps = [
        create_app(store=world.store, models=OneModel(bundle_for(view, f"v2024060{n}T000000Z", seed=n))) for n in (1, 2)
    ]
    parent = Starlette(
        routes=[Mount(f"/{n}", app=app) for n, app in enumerate(apps)], lifespan=composed_lifespan(*apps)
    )

    with TestClient(parent) as client:
        versions = [client.post(f"/{n}/predict", json={}).json()["model_version"] for n in (0, 1)]

    assert versions == ["v20240601T000000Z", "v20240602T000000Z"]
    with pytest.raises(StoreUnavailable):
        _ = apps[0].state.service.store


def test_a_mounted_app_whose_lifespan_nobody_runs_answers_all_the_same(world: World) -> None:
    """Without a composed lifespan the first request starts the app."""
    app = create_app(store=world.store, models=world.models)

    client = TestClient(Starlette(routes=[Mount("/btcfs", app=app)]))

    assert client.post("/btcfs/predict", json={}).status_code == 200
    app.state.service.stop()


def test_the_openapi_document_names_every_route(world: World) -> None:
    """Each route of the app is in the document, and each path in it exists."""
    paths = set(world.client.get("/openapi.json").json()["paths"])

    assert {route.path for route in world.app.routes} - {"/", "/openapi.json"} == paths
