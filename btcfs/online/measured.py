"""How long a vector takes: from the store, from the cache, and computed from raw candles."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import Any

import numpy as np

from btcfs.definitions import TIME_KEY, FeatureGroup, FeatureView
from btcfs.instants import from_micros
from btcfs.online.features import OnlineFeatures
from btcfs.pipeline.compute import compute, compute_new
from btcfs.pipeline.history import CandleHistory
from btcfs.plugins import Plugins
from btcfs.store import FeatureStore

SLOW_ROUNDS = 7


def measure(
    store: FeatureStore, view: FeatureView, candles: FeatureGroup, symbol: str, plugins: Plugins, rounds: int
) -> dict[str, Any]:
    """Median and 99th percentile of each way in microseconds, and the ratio of medians to the stored vector's.

    ``full history`` reads all candles into a frame and computes every feature for every row, as a
    program without a store does for each request; ``one candle`` computes the last row only, from
    candles in memory.
    """
    online = OnlineFeatures(store, view, candles, plugins)
    from btcfs.online.computed import plan_of

    plan = plan_of(online.group, plugins)
    history = CandleHistory(store, candles, symbol)
    held = history.between()
    last = held.rows(len(held) - 1, len(held))
    before = held.rows(0, len(held) - 1)
    key = [{"symbol": symbol, TIME_KEY: from_micros(held.timestamp[-1])}]
    ways: list[tuple[str, Callable[[], object], int]] = [
        ("stored vector", lambda: store.get_online_features(view, key), rounds),
        ("cached vector", lambda: online.stored(symbol, int(held.timestamp[-1])), rounds),
        ("one candle computed, history in memory", lambda: compute_new(plan, before, last), min(rounds, 50)),
        ("full history read and computed", lambda: compute(plan, history.between()), SLOW_ROUNDS),
    ]
    rows = [_timed(name, work, count) for name, work, count in ways]
    for row in rows:
        row["ratio"] = row["p50_us"] / rows[0]["p50_us"]
    return {"backend": store.name, "features": len(view.features), "candles": len(held), "rows": rows}


def _timed(name: str, work: Callable[[], object], rounds: int) -> dict[str, Any]:
    work()
    taken = []
    for _ in range(rounds):
        began = perf_counter()
        work()
        taken.append((perf_counter() - began) * 1e6)
    low, high = np.percentile(taken, [50, 99])
    return {"way": name, "p50_us": float(low), "p99_us": float(high)}
