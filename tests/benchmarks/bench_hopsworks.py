"""Vectors and predictions from Hopsworks, beside the client's own call and with the cache in front, on an emulator in its own process."""

from __future__ import annotations

import http.client
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from btcfs.connection import open_source
from btcfs.definitions import TIME_KEY
from btcfs.online.cache import VectorCache
from btcfs.plugins import installed_plugins
from btcfs.serving import create_app
from btcfs.testing.backends.examples import candle_group, candles, view_of
from btcfs_hopsworks import columns, connect
from btcfs_hopsworks.emulator.loopback import free_address
from btcfs_hopsworks.gateway import views
from served import OneModel, bundle_for, filled, inference_view, listening_server


def taken(calls: list[Callable[[], object]], times: int) -> list[list[float]]:
    """How long each call takes in seconds, in ascending order, interleaved with the others."""
    seconds: list[list[float]] = [[] for _ in calls]
    for _ in range(times):
        for call, known in zip(calls, seconds, strict=True):
            begun = time.perf_counter()
            call()
            known.append(time.perf_counter() - begun)
    return [sorted(known) for known in seconds]


@contextmanager
def emulator() -> Iterator[dict[str, Any]]:
    """What ``connect`` needs for an emulator that shares no interpreter with what is measured."""
    command = [sys.executable, "-c", "from btcfs.cli import main; main()", "hopsworks-emulator", "--json"]
    process = subprocess.Popen([*command, "--host", free_address()], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        text = ""
        while not text.endswith("\n}\n"):
            line = process.stdout.readline()
            assert line, "the emulator ended"
            text += line
        found = json.loads(text)["environment"]
        yield {
            "host": found["HOPSWORKS_HOST"],
            "port": int(found["HOPSWORKS_PORT"]),
            "api_key": found["HOPSWORKS_API_KEY"],
        }
    finally:
        process.terminate()
        process.wait()


def predictions(store: Any, times: int) -> list[float]:
    """How long a POST to the predictor takes in seconds, in ascending order, each for another candle: read over SQL, not cached."""
    source = open_source("sample", installed_plugins(()), {"seed": 7})
    ingest = filled(store, source, days=times + 50)
    instants = store.read(ingest.feature_group, columns=[TIME_KEY])[TIME_KEY].iloc[-times - 20 :]
    app = create_app(store=store, models=OneModel(bundle_for(inference_view(store))), log_predictions=False)
    taken = []
    with listening_server(app) as (host, port):
        connection = http.client.HTTPConnection(host, port)
        for instant in instants:
            body = json.dumps({"timestamp": instant.isoformat()})
            begun = time.perf_counter()
            connection.request("POST", "/predict", body, {"content-type": "application/json"})
            answer = connection.getresponse()
            content = answer.read()
            taken.append(time.perf_counter() - begun)
            assert answer.status == 200, content
            assert json.loads(content)["feature_source"] == "hopsworks", content
        connection.close()
    return sorted(taken[20:])  # the first ones open the view and its connections


def main(scale: float = 1.0) -> list[tuple[str, float, str]]:
    """Ratios beside their bars; the cache in microseconds."""
    times = max(20, int(500 * scale))
    group = candle_group(*(f"f_{n}" for n in range(11)))
    view, rows = view_of(group), candles(group, 365)
    with (
        emulator() as options,
        tempfile.TemporaryDirectory() as folder,
        connect(**options, quota_file=Path(folder) / "quota.json", defaults={"symbol": "BTC-USD"}) as store,
    ):
        store.apply(group)
        store.write(group, rows)
        store.apply(view)
        session = store._opened().session
        handle = views.find(session, view.name, view.version)
        views.start_serving(session, handle)
        digest = columns.entity_digest(("BTC-USD",))
        newest = {columns.ROW: columns.row_key(digest, None)}
        keys = rows[["symbol", TIME_KEY]].head(50).to_dict("records")
        some = [{columns.ROW: columns.row_key(digest, t)} for t in columns.time_keys(group, rows.head(50)).tolist()]
        cache = VectorCache(store, view)
        own, ours, batch, our_batch, cached = taken(
            [
                lambda: handle.get_feature_vector(serving_keys=newest),
                lambda: store.get_online_features(view, [{"symbol": "BTC-USD"}]),
                lambda: handle.get_feature_vectors(serving_keys=some),
                lambda: store.get_online_features(view, keys),
                lambda: cache.get("BTC-USD"),
            ],
            times,
        )
        predicted = predictions(store, times)
    median = statistics.median
    return [
        ("hopsworks vector / the client's own, p50", median(ours) / median(own), "<= 1.5"),
        ("hopsworks 50 vectors / the client's own, p50", median(our_batch) / median(batch), "<= 1.5"),
        ("hopsworks vector p99 in ms", ours[int(len(ours) * 0.99)] * 1e3, "< 10"),
        ("hopsworks prediction over HTTP, 47 features, p99 in ms", predicted[int(len(predicted) * 0.99)] * 1e3, "< 10"),
        ("hopsworks cached vector p50 in us", median(cached) * 1e6, "<= 50"),
    ]


if __name__ == "__main__":
    for name, ratio, bar in main():
        print(f"{name:50} {ratio:8.2f}   {bar}")
