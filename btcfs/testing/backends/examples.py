"""Groups, views and rows for the laws of a backend: small, seeded, and named like nothing else in the store."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import numpy as np
import pandas as pd

from btcfs import frames
from btcfs.definitions import TIME_KEY, Feature, FeatureGroup, FeatureView
from btcfs.instants import UTC
from btcfs.store import FeatureStore, WriteReport

START = datetime(2024, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
MICROSECOND = timedelta(microseconds=1)


def unique(stem: str) -> str:
    """A name that no other test uses, so that many tests may share one store."""
    return f"{stem}_{uuid4().hex[:12]}"


def candle_group(*features: str | Feature, **options: Any) -> FeatureGroup:
    """Hourly candles with the features ``a`` and ``b`` unless others are named."""
    columns = [Feature(f) if isinstance(f, str) else f for f in features or ("a", "b")]
    return FeatureGroup(**{"name": unique("candles"), "version": 1, "features": columns, "interval": "1h", **options})


def event_group(*features: str | Feature, **options: Any) -> FeatureGroup:
    """Rows by symbol and time without an interval: their event time is theirs to say."""
    return candle_group(*features, **{"name": unique("events"), "interval": None, **options})


def static_group(*features: str | Feature, **options: Any) -> FeatureGroup:
    """One row per symbol: a group without a time key."""
    return event_group(*features, **{"primary_key": ("symbol",), **options})


def view_of(*groups: FeatureGroup, features: Sequence[str] = (), **options: Any) -> FeatureView:
    """A view of these features, by default of all that are numbers."""
    names = features or [f.name for group in groups for f in group.features if f.numeric]
    return FeatureView(
        **{"name": unique("view"), "version": 1, "groups": [g.ref for g in groups], "features": names, **options}
    )


def candles(
    group: FeatureGroup, count: int, *, symbol: str = "BTC-USD", start: datetime = START, seed: int = 0
) -> pd.DataFrame:
    """So many candles on the group's grid, float64 features drawn at random; fewer are the first of more."""
    assert group.step is not None
    opens = [start + index * group.step for index in range(count)]
    columns: dict[str, Any] = {"symbol": [symbol] * count, TIME_KEY: instants(opens)}
    for place, name in enumerate(group.feature_names):
        columns[name] = np.random.default_rng([seed, place]).normal(100.0, 10.0, count)
    columns[group.event_time] = instants([instant + group.step for instant in opens])
    return pd.DataFrame(columns)[list(group.columns)].astype({"symbol": object})


def rows(group: FeatureGroup, *records: Sequence[Any]) -> pd.DataFrame:
    """A frame with these values in the order of ``group.columns``, times as datetimes."""
    columns = dict(zip(group.columns, zip(*records, strict=True), strict=True))
    return pd.DataFrame(
        {
            name: instants(values)
            if group.dtypes[name] == "timestamp"
            else pd.Series(list(values), dtype=_loose(group, name))
            for name, values in columns.items()
        }
    )


def instants(values: Sequence[datetime | None]) -> pd.Series:
    """Zoned datetimes as a column of microseconds."""
    return pd.Series(list(values), dtype=frames.TIMESTAMP)


def spine(group: FeatureGroup, *asked: tuple[Any, ...]) -> pd.DataFrame:
    """Spine rows, each the group's entity values and then the instant."""
    columns = list(zip(*asked, strict=True))
    texts = {name: list(column) for name, column in zip(group.entity, columns, strict=False)}
    return pd.DataFrame({**texts, group.event_time: instants(columns[-1])})


def put(store: FeatureStore, group: FeatureGroup, frame: Any) -> WriteReport:
    """Apply the group and write to it."""
    store.apply(group)
    return store.write(group, frame)


def committed(report: WriteReport) -> datetime:
    """When a write that changed something was committed."""
    assert report.committed_at is not None
    return report.committed_at


def _loose(group: FeatureGroup, name: str) -> str:
    return {"string": "object"}.get(group.dtypes[name], group.dtypes[name])
