"""The predictor over HTTP: what it answers, what it refuses, and that its numbers are the stored ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest

from btcfs.connection import connect
from btcfs.errors import SchemaError, StoreUnavailable
from btcfs.frames import from_micros_array
from btcfs.instants import now, to_micros
from btcfs.pipeline.history import candle_frame
from btcfs.pipeline.ingest import Ingest
from btcfs.serving import PREDICTIONS, replay
from served import DAY, NEWEST, OneModel, bundle_for, candle_json, filled, floats, inference_view, market

pytest.importorskip("starlette", reason="starlette is in the extra 'serve'")
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.testclient import TestClient

from btcfs.serving import composed_lifespan, create_app

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


def test_the_newest_candle_is_predicted_from_its_stored_vector(world: World) -> None:
    """The output is the model's on the stored vector, with its provenance and measured latency."""
    [vector] = world.store.get_online_features(inference_view(world.store), [{"symbol": "BTC-USD"}])

    answer = predict(world).json()

    bundle = world.models.bundle
    assert answer["classification"]["probability"] == bundle.classification.predict(vector.values)
    assert answer["regression"]["price_change_pct"] == bundle.regression.predict(vector.values)
    assert answer["classification"]["direction"] == ("UP" if answer["classification"]["prediction"] else "DOWN")
    assert (answer["model_version"], answer["horizon"], answer["interval"]) == (bundle.version, 1, "1d")
    assert (answer["view"], answer["view_version"]) == ("bitcoin_training_view", 1)
    assert answer["as_of"] == (NEWEST - DAY).isoformat().replace("+00:00", "Z")
    assert answer["fallback_reason"] is None
    assert answer["latency_ms"] > 0
    assert answer["freshness_s"] > 0


def test_a_second_request_is_answered_from_the_cache_until_a_commit(world: World) -> None:
    """feature_source says cache only for a vector read before and not superseded since."""
    sources = [predict(world).json()["feature_source"] for _ in range(2)]
    group = world.ingest.feature_group
    rows = world.store.read(group).tail(1)
    world.store.write(group, rows.assign(rsi_14=rows["rsi_14"] + 1))
    after = predict(world).json()

    assert sources[-1] == "cache"
    assert after["feature_source"] == world.store.name
    features = world.client.get("/v1/features").json()["features"]
    assert features["rsi_14"] == float(rows["rsi_14"].iloc[0]) + 1


def test_a_stored_candle_that_is_posted_uses_the_stored_vector(world: World) -> None:
    """Any instant inside a stored candle leads to its vector, whatever numbers came with it."""
    body = candle_json(world.candles, -4)
    noon = {**body, "timestamp": body["timestamp"].replace("T00:00", "T12:30")}

    one, other = predict(world, **body).json(), predict(world, **noon).json()

    assert one["fallback_reason"] is None
    assert one["timestamp"] == other["timestamp"]
    assert one["classification"] == other["classification"]


def test_a_candle_not_stored_is_computed_as_ingestion_would(world: World, frame_source: Callable[..., Any]) -> None:
    """The posted candle's prediction equals, bit for bit, the one after that candle was ingested."""
    posted = predict(world, **candle_json(world.candles, -2)).json()
    world.ingest.source.frame = world.candles.iloc[:-1]  # type: ignore[union-attr]
    world.ingest.daily()
    stored = predict(world, **candle_json(world.candles, -2)).json()

    assert posted["feature_source"] == "local"
    assert "not stored" in posted["fallback_reason"]
    assert stored["feature_source"] == world.store.name
    assert posted["classification"] == stored["classification"]
    assert posted["regression"] == stored["regression"]


def test_a_candle_that_does_not_follow_history_is_refused(world: World) -> None:
    """With candles missing in between there is nothing to compute from: 422 with needed and have."""
    answer = predict(world, **candle_json(world.candles, -1))

    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert (problem["type"], problem["have"]) == ("urn:btcfs:insufficient-history", 1)
    assert problem["needed"] == world.ingest.plan.lookback + 1


def test_history_is_kept_current_by_commits(world: World) -> None:
    """After the missing candle is committed, the one that follows it can be computed."""
    assert predict(world, **candle_json(world.candles, -1)).status_code == 422
    from btcfs.pipeline.candles import CandleArrays

    arrays = CandleArrays.from_frame(world.candles.iloc[-2:-1], "1d")
    world.store.write(world.ingest.candle_group, candle_frame(arrays, "BTC-USD", world.ingest.candle_group))

    assert predict(world, **candle_json(world.candles, -1)).json()["feature_source"] == "local"


def test_an_instant_means_the_candle_known_then(world: World) -> None:
    """Without a candle, the timestamp asks for the last one that had closed by then."""
    at = NEWEST - 10 * DAY

    answer = predict(world, timestamp=(at.replace(hour=7)).isoformat()).json()

    assert answer["as_of"] == at.isoformat().replace("+00:00", "Z")


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"high": 1.0}, 422),
        ({"low": 1e9}, 422),
        ({"open": -1.0}, 422),
        ({"volume": -1}, 422),
        ({"close": "50000"}, 422),
        ({"close": None}, 422),
        ({"timestamp": "2024-05-01T00:00:00"}, 422),
        ({"timestamp": "2999-01-01T00:00:00Z"}, 422),
        ({"timestamp": "0001-01-01T00:00:00+14:00"}, 422),
        ({"timestamp": 1714521600}, 422),
        ({"surprise": 1}, 422),
        ({"symbol": "a\nb"}, 422),
        ({"symbol": "BTC-USD\n"}, 422),
        ({"symbol": "ETH-USD"}, 422),
    ],
)
def test_what_is_no_candle_is_refused(world: World, change: dict[str, Any], status: int) -> None:
    """Each broken rule is a problem document with the client's status."""
    answer = predict(world, **{**candle_json(world.candles, -4), **change})

    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["detail"]


@pytest.mark.parametrize("name", ["open", "high", "low", "close", "volume", "timestamp"])
def test_a_candle_is_whole(world: World, name: str) -> None:
    """A candle that lacks one of its numbers or its time is refused by name."""
    body = candle_json(world.candles, -4)
    del body[name]

    answer = predict(world, **body)

    assert (answer.status_code, name in answer.json()["detail"]) == (422, True)


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"nul", b"\xff\xfe", b'{"open": 1e999}', b'{"open": NaN}', b"[" * 50_000]
)
def test_what_is_no_json_object_is_refused(world: World, body: bytes) -> None:
    """A body that is not the object asked for is the client's error and shows nothing of the inside."""
    answer = world.client.post("/predict", content=body)

    assert answer.status_code in (400, 422)
    assert "Traceback" not in answer.text


def test_an_oversized_body_is_refused(world: World) -> None:
    """More bytes than the limit are not read."""
    answer = world.client.post("/predict", content=b" " * 70_000)

    assert (answer.status_code, answer.json()["type"]) == (413, "urn:btcfs:too-large")


def test_unknown_paths_and_methods_are_problems(world: World) -> None:
    """404 and 405 are problem documents too, and 405 says what is allowed."""
    missing, wrong = world.client.get("/nothing"), world.client.get("/predict")

    assert (missing.status_code, missing.json()["status"]) == (404, 404)
    assert (wrong.status_code, wrong.headers["allow"]) == (405, "POST")
    assert wrong.headers["content-type"] == "application/problem+json"


def test_an_unknown_market_is_not_found(world: World) -> None:
    """A market that is not stored is a 404 that names it."""
    answer = predict(world, symbol="ETH-USD")

    assert (answer.status_code, "ETH-USD" in answer.json()["detail"]) == (404, True)


def test_many_are_answered_in_order_with_problems_in_place(world: World) -> None:
    """A batch answers each request as it would have been answered alone."""
    good = candle_json(world.candles, -4)
    answer = world.client.post("/v1/predict/batch", json={"requests": [good, {"symbol": "ETH-USD"}, {}]}).json()

    first, second, third = answer["predictions"]
    assert first["classification"] == predict(world, **good).json()["classification"]
    assert second["status"] == 404
    assert third["classification"] == predict(world).json()["classification"]


def test_features_over_http_are_offline_and_recomputed_bits(world: World) -> None:
    """Online through HTTP = offline at that time = recomputed from candles, every feature, every bit."""
    from btcfs.pipeline.candles import CandleArrays
    from btcfs.pipeline.compute import compute

    rows = world.store.read(world.ingest.feature_group)
    names = list(world.ingest.feature_group.feature_names)
    block = compute(world.ingest.plan, CandleArrays.from_frame(world.candles.iloc[:-2], "1d"))
    again = dict(zip(block.timestamps.tolist(), np.array(block.columns).T, strict=True))

    for row in range(0, len(rows), 7):
        time = rows["timestamp"].iloc[row]
        served = world.client.get("/v1/features", params={"timestamp": time.isoformat()}).json()["features"]
        assert floats([served[name] for name in names]) == floats(rows[names].iloc[row])
        assert floats([served[name] for name in names]) == floats(again[to_micros(time.to_pydatetime())])


def test_a_window_is_the_last_vectors(world: World) -> None:
    """n rows, the oldest first, the last one the newest vector."""
    window = world.client.get("/v1/window", params={"n": 5}).json()
    newest = world.client.get("/v1/features").json()

    assert len(window["values"]) == 5
    assert window["timestamps"][-1] == newest["timestamp"]
    assert window["values"][-1] == list(newest["features"].values())
    assert world.client.get("/v1/window", params={"n": 61}).status_code == 422
    assert world.client.get("/v1/window", params={"n": "1e3"}).status_code == 422
    assert world.client.get("/v1/window", params={"rows": "1"}).status_code == 422


def test_every_prediction_is_logged_and_can_be_replayed(world: World) -> None:
    """The log holds each prediction, and its vector and output come out again bit for bit."""
    ids = [predict(world).json()["prediction_id"], predict(world).json()["prediction_id"]]
    ids.append(predict(world, **candle_json(world.candles, -2)).json()["prediction_id"])
    world.app.state.service.log.flush()
    # What is restated later changes nothing of what was predicted before.
    group = world.ingest.feature_group
    rows = world.store.read(group)
    world.store.write(group, rows.assign(rsi_14=50.0))
    world.ingest.source.frame = world.candles.assign(close=world.candles["close"] * 0.999)  # type: ignore[union-attr]
    world.ingest.daily()

    logged = world.store.read(PREDICTIONS)
    again = [replay(world.store, lambda _: world.models.bundle, one, world.ingest.plugins) for one in ids]

    assert set(logged["prediction_id"]) == set(ids)
    assert [r.output_equal for r in again] == [True] * 3
    assert [(r.vector_equal, r.vector_note) for r in again] == [(True, "found anew, equal bit for bit")] * 3


def test_admin_routes_are_closed_without_the_token(world: World) -> None:
    """No token, a wrong one or another scheme: 401; a server without a token: 403 whoever asks."""
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Basic {TOKEN}"}):
        answer = world.client.post("/v1/reload", headers=headers)
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, 'Bearer realm="btcfs"')
    with TestClient(create_app(store=world.store, models=world.models)) as closed:
        assert closed.post("/v1/reload", headers={"Authorization": "Bearer "}).status_code == 403


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

    assert {route.path for route in world.app.routes} - {"/", "/openapi.json"} == paths  # type: ignore[attr-defined]


def test_a_clock_ahead_of_the_store_shows_in_freshness(world: World) -> None:
    """freshness_s is the age of what the features rest on."""
    answer = predict(world).json()

    age = (now() - (NEWEST - DAY)).total_seconds()
    assert answer["freshness_s"] == pytest.approx(age, abs=60)
    assert from_micros_array(np.array([0])).dt.tz is not None
