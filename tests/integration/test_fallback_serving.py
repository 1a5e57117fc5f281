"""Predictions through an outage of the primary store: none fails, each says where it comes from, and it ends."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import btcfs_duckdb
from btcfs import memory
from btcfs.errors import StoreUnavailable
from btcfs.fallback import FallbackStore
from btcfs.fallback.breaker import Breaker
from btcfs.fallback.primary import Deadlines
from btcfs.store import FeatureStore
from outages import Outage, ShortWhileHanging
from served import OneModel, bundle_for, candle_json, filled, inference_view, market

pytest.importorskip("starlette", reason="starlette is in the extra 'serve'")
from starlette.testclient import TestClient

from btcfs.serving import create_app

SHORT = Deadlines(vectors=0.3, definitions=0.5, frames=1.0, writes=1.0, opening=0.5)


class Distant(Outage):
    """A primary that cannot tell its state without asking, so nothing of it is cached."""

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name)


@pytest.fixture(params=[Outage, Distant])
def pair(request: pytest.FixtureRequest, frame_source: Callable[..., Any], tmp_path: Path) -> Iterator[Any]:
    defaults = {"symbol": "BTC-USD"}
    primary = request.param(memory.connect(defaults=defaults))
    mirror = btcfs_duckdb.connect(tmp_path / "mirror", defaults=defaults)
    store = FallbackStore(
        primary,
        mirror,
        tmp_path / "journal",
        deadlines=ShortWhileHanging(primary, SHORT),
        breaker=lambda: Breaker(failures=2, rest=0.2),
    )
    with store:
        filled(store, frame_source(market().iloc[:-2]))
        yield primary, store
        primary.heal()


def client_of(store: FeatureStore, **options: Any) -> TestClient:
    return TestClient(create_app(store=store, models=OneModel(bundle_for(inference_view(store))), **options))


def bodies() -> list[dict[str, Any]]:
    candles = market()
    stored = [{}, {"timestamp": candle_json(candles, -9)["timestamp"]}, candle_json(candles, -5)]
    return [*stored, candle_json(candles, -2)]


@pytest.mark.parametrize("mode", ["down", "hang"])
def test_predictions_go_on_through_an_outage(pair: Any, mode: str) -> None:
    """Before, in and after an outage each request has the same prediction; in it with a reason; after it none has one."""
    primary, store = pair
    with client_of(store) as client:

        def answers() -> list[dict[str, Any]]:
            done = [client.post("/predict", json=body) for body in bodies() for _ in range(5)]
            assert [response.status_code for response in done] == [200] * len(done)
            return [response.json() for response in done]

        before = answers()
        primary.mode = mode
        during = answers()
        text = client.get("/metrics").text
        primary.heal()
        deadline = time.monotonic() + 10
        while client.get("/v1/features").json()["fallback_reason"] is not None or store.pending():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        after = answers()

    for one, two, three in zip(before, during, after, strict=True):
        assert one["classification"] == two["classification"] == three["classification"]
        assert one["regression"] == two["regression"] == three["regression"]
        assert one["as_of"] == two["as_of"] == three["as_of"]
    stored = slice(0, 15)
    assert {answer["fallback_reason"] for answer in before[stored]} == {None}
    assert {answer["feature_source"] for answer in before[stored]} <= {"memory", "cache"}
    for answer in during[stored]:
        fresh = answer["feature_source"] == "duckdb" and "memory" in answer["fallback_reason"]
        assert fresh or (answer["feature_source"], answer["fallback_reason"]) == ("cache", None)
    assert {answer["feature_source"] for answer in during[15:]} == {"local"}
    assert {answer["fallback_reason"] for answer in after[stored]} == {None}
    assert "btcfs_circuit_open" in text
    assert "btcfs_journal_entries" in text


def test_a_predictor_starts_in_an_outage(pair: Any) -> None:
    """With the primary away from the beginning, the model is loaded and answers from the mirror."""
    primary, store = pair
    with client_of(store) as probe:
        expected = probe.post("/predict", json={}).json()

    def away() -> FeatureStore:
        if primary.mode == "down":
            raise StoreUnavailable("no network yet")
        return primary

    primary.mode = "down"
    path = store.journal.folder.parent
    again = FallbackStore(
        away,
        store.mirror,
        path / "journal",
        name="memory",
        breaker=lambda: Breaker(failures=1, rest=0.05),
    )
    with client_of(again, log_predictions=False) as client:
        first = client.post("/predict", json={}).json()
        primary.heal()
        deadline = time.monotonic() + 10
        while (last := client.post("/predict", json={}).json())["fallback_reason"] is not None:
            assert time.monotonic() < deadline
            time.sleep(0.05)
    assert first["classification"] == last["classification"] == expected["classification"]
    assert first["feature_source"] == "duckdb"
    assert "no network yet" in first["fallback_reason"]
