"""The predictor over HTTP: what it answers, and that its numbers are the stored ones."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import numpy as np
import pytest

from btcfs.frames import from_micros_array
from btcfs.instants import now, to_micros
from btcfs.pipeline.history import candle_frame
from btcfs.serving import PREDICTIONS, replay
from btcfs.serving.prediction_rows import vector_of, vector_text
from btcfs.store import Commit
from served import DAY, NEWEST, bundle_for, candle_json, floats, inference_view

pytest.importorskip("starlette", reason="starlette is in the extra 'serve'")

from predicting import TOKEN, World, predict

pytest_plugins = ["predicting"]


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


def test_what_is_kept_with_a_vector_is_of_the_model_that_answers_and_of_the_vector_that_is_stored(world: World) -> None:
    """Another model's numbers, and those of a restated candle, follow at once; the same question gives the same bits."""
    view, group = inference_view(world.store), world.ingest.feature_group

    def answered() -> tuple[float, float]:
        answer = predict(world).json()
        assert answer["model_version"] == world.models.bundle.version
        return answer["classification"]["probability"], answer["regression"]["price_change_pct"]

    def expected() -> tuple[float, float]:
        [vector] = world.store.get_online_features(view, [{"symbol": "BTC-USD"}])
        bundle = world.models.bundle
        return bundle.classification.predict(vector.values), bundle.regression.predict(vector.values)

    seen = []
    for seed in (0, 1):
        world.models.bundle = bundle_for(view, f"v2024060{seed + 1}T000000Z", seed)
        world.client.post("/v1/reload", headers={"Authorization": f"Bearer {TOKEN}"}).raise_for_status()
        for change in (0.0, 7.5):
            rows = world.store.read(group).tail(1)
            world.store.write(group, rows.assign(rsi_14=rows["rsi_14"] + change))
            assert [answered() for _ in range(3)] == [expected()] * 3
            seen.append(expected())
    assert len(set(seen)) == 4


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
    world.ingest.source.frame = world.candles.iloc[:-1]
    world.ingest.daily()
    stored = predict(world, **candle_json(world.candles, -2)).json()

    assert posted["feature_source"] == "local"
    assert "not stored" in posted["fallback_reason"]
    assert stored["feature_source"] == world.store.name
    assert posted["classification"] == stored["classification"]
    assert posted["regression"] == stored["regression"]


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
    world.ingest.source.frame = world.candles.assign(close=world.candles["close"] * 0.999)
    world.ingest.daily()

    logged = world.store.read(PREDICTIONS)
    again = [replay(world.store, lambda _: world.models.bundle, one, world.ingest.plugins) for one in ids]

    assert set(logged["prediction_id"]) == set(ids)
    assert [r.output_equal for r in again] == [True] * 3
    assert [(r.vector_equal, r.vector_note) for r in again] == [(True, "found anew, equal bit for bit")] * 3


def test_a_candle_in_another_unit_is_told(world: World) -> None:
    """A posted candle whose prices cannot follow those stored is predicted from, and the answer says what is odd."""
    candle = candle_json(world.candles, -2)
    cents = {**candle, **{name: candle[name] * 100 for name in ("open", "high", "low", "close")}}

    usual, odd = (predict(world, **body).json()["fallback_reason"] for body in (candle, cents))

    assert "another unit" not in usual
    assert "another unit" in odd


@pytest.mark.parametrize("seen", [False, True], ids=["before it is seen", "before it has its time"])
def test_a_prediction_made_during_a_commit_can_be_replayed(world: World, seen: bool) -> None:
    """A commit has its time a little before its rows can be read; a prediction in between is the same one anew."""
    group = world.ingest.feature_group
    rows = world.store.read(group).assign(rsi_14=50.0)
    during = Commit("during", now() + timedelta(seconds=20 * seen))
    if seen:
        world.store.write(group, rows, commit=during)
    one = predict(world).json()["prediction_id"]
    if not seen:
        world.store.write(group, rows, commit=during)
    world.app.state.service.log.flush()

    again = replay(world.store, lambda _: world.models.bundle, one, world.ingest.plugins)

    assert (again.equal, again.vector_equal) == (True, True)
    assert "commit during, which was under way" in again.vector_note


def test_a_vector_that_never_was_is_not_replayed(world: World) -> None:
    """A log that says another vector than the store ever had is found out, whatever was committed about that time."""
    one = predict(world).json()["prediction_id"]
    world.app.state.service.log.flush()
    world.store.write(world.ingest.feature_group, world.store.read(world.ingest.feature_group).assign(rsi_14=50.0))
    logged = world.store.read(PREDICTIONS)
    vector = vector_of(logged["vector"].iloc[0])
    world.store.write(PREDICTIONS, logged.assign(vector=vector_text(np.nextafter(vector, np.inf))))

    again = replay(world.store, lambda _: world.models.bundle, one, world.ingest.plugins)

    assert not again.equal
    assert again.vector_note.startswith("47 of 47 values differ")


def test_a_clock_ahead_of_the_store_shows_in_freshness(world: World) -> None:
    """freshness_s is the age of what the features rest on."""
    answer = predict(world).json()

    age = (now() - (NEWEST - DAY)).total_seconds()
    assert answer["freshness_s"] == pytest.approx(age, abs=60)
    assert from_micros_array(np.array([0])).dt.tz is not None
