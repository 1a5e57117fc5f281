"""Vectors from Hopsworks through the backend, beside the client's own call and with the cache in front, on the emulator."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from btcfs.definitions import TIME_KEY
from btcfs.online.cache import VectorCache
from btcfs.testing.backends.examples import candle_group, candles, view_of
from btcfs_hopsworks import columns, connect
from btcfs_hopsworks.emulator.application import Emulator
from btcfs_hopsworks.emulator.loopback import free_address
from btcfs_hopsworks.gateway import views


def taken(calls: list[Callable[[], object]], times: int) -> list[list[float]]:
    """How long each call takes in seconds, in ascending order, interleaved with the others."""
    seconds: list[list[float]] = [[] for _ in calls]
    for _ in range(times):
        for call, known in zip(calls, seconds, strict=True):
            begun = time.perf_counter()
            call()
            known.append(time.perf_counter() - begun)
    return [sorted(known) for known in seconds]


def main(scale: float = 1.0) -> list[tuple[str, float, str]]:
    """Ratios beside their bars; the cache in microseconds."""
    times = max(20, int(500 * scale))
    group = candle_group(*(f"f_{n}" for n in range(11)))
    view, rows = view_of(group), candles(group, 365)
    with Emulator(host=free_address()) as emulator, tempfile.TemporaryDirectory() as folder:
        options = {"host": emulator.host, "port": emulator.port, "api_key": emulator.api_key}
        with connect(**options, quota_file=Path(folder) / "quota.json") as store:
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
    median = statistics.median
    return [
        ("hopsworks vector / the client's own, p50", median(ours) / median(own), "<= 1.5"),
        ("hopsworks 50 vectors / the client's own, p50", median(our_batch) / median(batch), "<= 1.5"),
        ("hopsworks vector p99 in ms", ours[int(len(ours) * 0.99)] * 1e3, "< 10"),
        ("hopsworks cached vector p50 in us", median(cached) * 1e6, "<= 50"),
    ]


if __name__ == "__main__":
    for name, ratio, bar in main():
        print(f"{name:50} {ratio:8.2f}   {bar}")
