"""Whether stored rows equal what their candles give today, and what the online table answers."""

from __future__ import annotations

from datetime import datetime, timedelta

import attrs
import numpy as np

from btcfs import frames
from btcfs.definitions import TIME_KEY, FeatureGroup, FeatureView
from btcfs.errors import NotFound
from btcfs.instants import from_micros
from btcfs.pipeline.compute import compute
from btcfs.pipeline.history import CandleHistory
from btcfs.pipeline.plan import Plan
from btcfs.store import FeatureStore


@attrs.frozen
class Difference:
    """A value that is not what it should be: where, and both numbers."""

    timestamp: datetime
    feature: str
    stored: float
    other: float

    def __str__(self) -> str:
        return f"{self.feature} at {self.timestamp:%Y-%m-%d %H:%M}: stored {self.stored!r}, got {self.other!r}"


def sample_times(store: FeatureStore, group: FeatureGroup, symbol: str, rows: int, seed: int = 0) -> list[datetime]:
    """Open times of up to so many stored rows: the newest one, and others chosen by the seed, ascending."""
    times = frames.micros(store.read(group, entity={"symbol": symbol}, columns=[TIME_KEY])[TIME_KEY])
    if not len(times):
        return []
    chosen = np.random.default_rng(seed).choice(len(times), size=min(rows, len(times)), replace=False)
    return [from_micros(times[i]) for i in sorted({*map(int, chosen), len(times) - 1})]


def recomputed(
    store: FeatureStore, plan: Plan, group: FeatureGroup, candles: FeatureGroup, symbol: str, times: list[datetime]
) -> list[Difference]:
    """Where the stored rows of these open times differ, in any bit, from what the stored candles give."""
    step = timedelta(microseconds=plan.step)
    found = []
    for time in times:
        history = CandleHistory(store, candles, symbol).between(plan.first_needed(time), time + step)
        block = compute(plan, history, time, time + step)
        values = dict(zip(block.names, (column[0] for column in block.columns), strict=True)) if len(block) else {}
        found += _differences(store, group, symbol, time, values)
    return found


def online_differences(
    store: FeatureStore, view: FeatureView, group: FeatureGroup, symbol: str, times: list[datetime]
) -> list[Difference]:
    """Where the online vectors of these open times differ, in any bit, from the offline rows."""
    found = []
    for time in times:
        try:
            [vector] = store.get_online_features(view, [{"symbol": symbol, TIME_KEY: time}])
        except NotFound:
            found.append(Difference(time, "the whole row", 1.0, float("nan")))
            continue
        values = dict(zip(view.features, vector.values, strict=True))
        found += _differences(store, group, symbol, time, values)
    return found


def _differences(
    store: FeatureStore, group: FeatureGroup, symbol: str, time: datetime, values: dict[str, float]
) -> list[Difference]:
    assert group.step is not None
    known = time + group.step
    row = store.read(group, known, known + timedelta(microseconds=1), entity={"symbol": symbol})
    found = []
    for name in group.feature_names:
        stored = np.float64(row[name].iloc[0]) if len(row) else np.float64("nan")
        other = np.float64(values.get(name, float("nan")))
        if stored.tobytes() != other.tobytes() and not (np.isnan(stored) and np.isnan(other)):
            found.append(Difference(time, name, float(stored), float(other)))
    return found
