"""The predictor over HTTP: what it refuses, and in which words."""

from __future__ import annotations

from typing import Any

import pytest

from served import candle_json

pytest.importorskip("starlette", reason="starlette is in the extra 'serve'")

from starlette.testclient import TestClient

from btcfs.errors import StoreUnavailable
from btcfs.serving import create_app
from btcfs.serving.problems import problem_of
from predicting import TOKEN, World, predict

pytest_plugins = ["predicting"]


@pytest.fixture
def world(lasting_world: World) -> World:
    return lasting_world


def test_a_candle_that_does_not_follow_history_is_refused(world: World) -> None:
    """With candles missing in between there is nothing to compute from: 422 with needed and have."""
    answer = predict(world, **candle_json(world.candles, -1))

    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert (problem["type"], problem["have"]) == ("urn:btcfs:insufficient-history", 1)
    assert problem["needed"] == world.ingest.plan.lookback + 1


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
    """404 and 405 are problem documents too, which name what was asked and what to ask instead."""
    missing, wrong = world.client.get("/nothing"), world.client.get("/predict")

    assert (missing.status_code, missing.json()["status"]) == (404, 404)
    assert (wrong.status_code, wrong.headers["allow"]) == (405, "POST")
    assert wrong.headers["content-type"] == "application/problem+json"
    assert missing.json()["detail"] == "nothing is at '/nothing'; GET / of this app lists what there is"
    assert wrong.json()["detail"] == "GET is not answered here; POST is"


def test_features_that_are_too_old_are_not_predicted_from(world: World) -> None:
    """With a greatest age the newest candle is refused beyond it; one that is asked for by its time or posted is not."""
    body, known = candle_json(world.candles, -4), {"timestamp": "2024-05-20T12:00:00Z"}
    requests: list[dict[str, Any]] = [{}, known, body]
    with TestClient(create_app(store=world.store, models=world.models, max_age_seconds=3600)) as strict:
        newest, *others = (strict.post("/predict", json=request) for request in requests)
        many = strict.post("/v1/predict/batch", json={"requests": requests}).json()["predictions"]
    with TestClient(create_app(store=world.store, models=world.models, max_age_seconds=1e10)) as lenient:
        assert lenient.post("/predict", json={}).status_code == 200

    assert (newest.status_code, newest.json()["type"]) == (503, "urn:btcfs:stale")
    assert "btcfs ingest --mode daily" in newest.json()["detail"]
    assert [answer.status_code for answer in others] == [200, 200]
    assert [answer.get("type") for answer in many] == ["urn:btcfs:stale", None, None]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("cannot open /srv/ours/x.sqlite: gone", "cannot open …/x.sqlite: gone"),
        ("/srv/models/v20240601T000000Z-2/bundle.json is changed", "…/v20240601T000000Z-2/bundle.json is changed"),
        (r"cannot open C:\Users\me\online-1.sqlite: gone", "cannot open …/online-1.sqlite: gone"),
        (
            "no model version 'v1' in /home/me/models; there are: none",
            "no model version 'v1' in …/models; there are: none",
        ),
        (
            "no row for {symbol=BTC/USD}, see https://example.org/a/b",
            "no row for {symbol=BTC/USD}, see https://example.org/a/b",
        ),
    ],
)
def test_a_problem_does_not_tell_where_things_lie(text: str, shown: str) -> None:
    """Of a path on the server a client sees the last part."""
    assert problem_of(StoreUnavailable(text)).detail == shown


def test_an_unknown_market_is_not_found(world: World) -> None:
    """A market that is not stored is a 404 that names it."""
    answer = predict(world, symbol="ETH-USD")

    assert (answer.status_code, "ETH-USD" in answer.json()["detail"]) == (404, True)


def test_admin_routes_are_closed_without_the_token(world: World) -> None:
    """No token, a wrong one or another scheme: 401; a server without a token: 403 whoever asks."""
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Basic {TOKEN}"}):
        answer = world.client.post("/v1/reload", headers=headers)
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, 'Bearer realm="btcfs"')
    with TestClient(create_app(store=world.store, models=world.models)) as closed:
        assert closed.post("/v1/reload", headers={"Authorization": "Bearer "}).status_code == 403
