"""The predictor under arbitrary bodies: never a 500, never a stack trace."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from btcfs import memory
from served import OneModel, bundle_for, candle_json, filled, inference_view, market

pytest.importorskip("starlette", reason="starlette is in the extra 'serve'")
from starlette.testclient import TestClient

from btcfs.serving import create_app

CANDLES = market(900)
NAMES = ("open", "high", "low", "close", "volume", "timestamp", "symbol", "surprise")

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=40),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=8,
)
times = st.datetimes().map(lambda t: t.isoformat() + "Z") | st.from_regex(
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[Z+-]?", fullmatch=True
)


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    from conftest import FrameSource

    store = memory.connect(defaults={"symbol": "BTC-USD"})
    filled(store, FrameSource(CANDLES.iloc[:-1]), days=10)
    models = OneModel(bundle_for(inference_view(store)))
    with TestClient(create_app(store=store, models=models), raise_server_exceptions=False) as connected:
        yield connected


def sound(answer: Any) -> None:
    """A prediction, or a problem that is the client's."""
    assert answer.status_code < 500, answer.text
    assert "Traceback" not in answer.text
    if answer.status_code != 200:
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["status"] == answer.status_code


@settings(
    max_examples=150, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(body=st.binary(max_size=200) | anything.map(lambda v: json.dumps(v).encode()))
def test_any_body_is_answered(client: TestClient, body: bytes) -> None:
    """Whatever bytes arrive, the answer is a prediction or a problem document."""
    sound(client.post("/predict", content=body))


@settings(
    max_examples=200, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(row=st.integers(-5, -1), changes=st.dictionaries(st.sampled_from(NAMES), anything | times, max_size=3))
def test_any_change_of_a_good_candle_is_answered(client: TestClient, row: int, changes: dict[str, Any]) -> None:
    """A candle with some of its fields replaced by anything is predicted from or refused."""
    sound(client.post("/predict", content=json.dumps({**candle_json(CANDLES, row), **changes}).encode()))


@settings(
    max_examples=200, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    body=st.binary(max_size=200)
    | st.builds(
        lambda header, rows, end: "\n".join(",".join(cells) for cells in [header, *rows]) + end,
        st.lists(st.sampled_from(NAMES), min_size=1, max_size=8, unique=True),
        st.lists(st.lists(st.text(max_size=8) | times | st.floats().map(str), min_size=1, max_size=8), max_size=4),
        st.sampled_from(["", "\n", '"', "\x00", "\r"]),
    ).map(lambda text: text.encode("utf-8", "surrogatepass"))
)
def test_any_csv_is_answered(client: TestClient, body: bytes) -> None:
    """Whatever bytes arrive as CSV, each row is a prediction or a problem document, or the whole body is refused."""
    answer = client.post("/v1/predict/batch", content=body, headers={"content-type": "text/csv"})

    sound(answer)
    if answer.status_code == 200:
        assert all(each.get("status", 200) < 500 for each in answer.json()["predictions"])


@settings(
    max_examples=100, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    path=st.sampled_from(["/v1/features", "/v1/window"]),
    query=st.dictionaries(
        st.sampled_from(["symbol", "timestamp", "known_at", "n", "end", "x"]), st.text(max_size=30) | times, max_size=3
    ),
)
def test_any_query_is_answered(client: TestClient, path: str, query: dict[str, str]) -> None:
    """Whatever a query holds, the answer is a vector, a window or a problem document."""
    sound(client.get(path, params=query))


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    version=st.text(min_size=1, max_size=30)
    | st.sampled_from(["../../etc/passwd", "..%2f..", "v20240101T000000Z/../.."])
)
def test_any_version_is_refused(client: TestClient, version: str) -> None:
    """No version name leads out of the models folder or to a failure of the server."""
    from urllib.parse import quote

    answer = client.post(f"/v1/models/{quote(version, safe='')}/activate")

    assert answer.status_code in (401, 403, 404, 405)
