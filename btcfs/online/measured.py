"""How long a vector takes: from the store, from the cache, and computed from raw candles."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import Any

import numpy as np
import pandas as pd

from btcfs.definitions import TIME_KEY, FeatureGroup, FeatureView
from btcfs.instants import from_micros
from btcfs.online.computed import plan_of
from btcfs.online.features import OnlineFeatures
from btcfs.pipeline.compute import compute, compute_new
from btcfs.pipeline.history import CandleHistory, candle_frame
from btcfs.plugins import Plugins
from btcfs.store import FeatureStore

SLOW_ROUNDS = 7
IN_PANDAS = "full history in pandas, candles in memory"
BAR = 50.0  # times; the guide's promise, 10 ms instead of 500


def measure(
    store: FeatureStore,
    view: FeatureView,
    candles: FeatureGroup,
    symbol: str,
    plugins: Plugins,
    rounds: int,
    in_pandas: Callable[[pd.DataFrame], pd.DataFrame],
) -> dict[str, Any]:
    """Median and 99th percentile of each way in microseconds, and the ratio of medians to the stored vector's.

    ``in_pandas`` computes the standard features of all candles in a frame, as a program without a
    store does for each request; the frame is at hand, so that no reading is counted. ``full
    history`` does the same with the installed indicators and reads the candles too; ``one candle``
    computes the last row only, from candles in memory. ``faster`` is what a stored vector saves
    against pandas, and ``BAR`` what it has to.
    """
    online = OnlineFeatures(store, view, candles, plugins)
    plan = plan_of(online.group, plugins)
    history = CandleHistory(store, candles, symbol)
    held = history.between()
    last = held.rows(len(held) - 1, len(held))
    before = held.rows(0, len(held) - 1)
    frame = candle_frame(held, symbol, candles)
    key = [{"symbol": symbol, TIME_KEY: from_micros(held.timestamp[-1])}]
    ways: list[tuple[str, Callable[[], object], int]] = [
        ("stored vector", lambda: store.get_online_features(view, key), rounds),
        ("cached vector", lambda: online.stored(symbol, int(held.timestamp[-1])), rounds),
        ("one candle computed, history in memory", lambda: compute_new(plan, before, last), min(rounds, 50)),
        ("full history read and computed", lambda: compute(plan, history.between()), SLOW_ROUNDS),
        (IN_PANDAS, lambda: in_pandas(frame), SLOW_ROUNDS),
    ]
    rows = [_timed(name, work, count) for name, work, count in ways]
    for row in rows:
        row["ratio"] = row["p50_us"] / rows[0]["p50_us"]
    faster = next(row["ratio"] for row in rows if row["way"] == IN_PANDAS)
    counts = {"backend": store.name, "features": len(view.features), "candles": len(held)}
    return {**counts, "rows": rows, "faster": faster, "bar": BAR, "met": faster >= BAR}


def _timed(name: str, work: Callable[[], object], rounds: int) -> dict[str, Any]:
    work()
    taken = []
    for _ in range(rounds):
        began = perf_counter()
        work()
        taken.append((perf_counter() - began) * 1e6)
    low, high = np.percentile(taken, [50, 99])
    return {"way": name, "p50_us": float(low), "p99_us": float(high)}
