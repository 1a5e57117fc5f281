"""A stored market and small models for the tests of serving."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

import attrs
import numpy as np
import pandas as pd

from btcfs.definitions import FeatureView, Label
from btcfs.errors import NotFound
from btcfs.instants import parse_instant
from btcfs.pipeline.ingest import Ingest
from btcfs.pipeline.standard import create_views
from btcfs.store import FeatureStore

DAY = timedelta(days=1)
NOW = parse_instant("2024-06-01T05:00Z")
NEWEST = parse_instant("2024-05-31")  # open time of the newest closed candle


def market(days: int = 1_500, end: datetime = NOW, seed: int = 1) -> pd.DataFrame:
    """Daily candles of a random walk, the last of them closed before ``end``."""
    random = np.random.default_rng(seed)
    close = 30_000 * np.exp(random.standard_normal(days).cumsum() / 50)
    open_ = np.roll(close, 1)
    open_[0] = close[0]
    last = pd.Timestamp(end).floor("D") - DAY
    return pd.DataFrame(
        {
            "timestamp": pd.date_range(end=last, periods=days, freq="D", unit="us"),
            "open": open_,
            "high": np.maximum(open_, close) * 1.01,
            "low": np.minimum(open_, close) * 0.99,
            "close": close,
            "volume": random.uniform(100, 1000, days),
        }
    )


def filled(store: FeatureStore, source: Any, now: datetime = NOW, days: int = 60) -> Ingest:
    """The store with so many days of features and both standard views."""
    ingest = Ingest(store, source, now=now)
    ingest.historical(days)
    create_views(store, ingest.feature_group, Label())
    return ingest


@attrs.frozen(eq=False)
class Dot:
    """A linear model: the vector times weights, through a logistic function or not."""

    weights: np.ndarray[Any, Any]
    logistic: bool

    def predict(self, values: np.ndarray[Any, Any]) -> float:
        score = float(self.weights @ values)
        return float(1 / (1 + np.exp(-score))) if self.logistic else score


@attrs.frozen(eq=False)
class SmallBundle:
    """What serving reads of a bundle."""

    version: str
    features: tuple[str, ...]
    view_fingerprint: str
    classification: Dot
    regression: Dot
    label: Label = attrs.field(factory=Label)
    metrics: dict[str, Any] = attrs.field(factory=dict)
    metadata: dict[str, Any] = attrs.field(factory=dict)


def bundle_for(view: FeatureView, version: str = "v20240601T000000Z", seed: int = 0) -> SmallBundle:
    random = np.random.default_rng(seed)
    weights = random.standard_normal(len(view.features)) / 1e6
    return SmallBundle(version, view.features, view.fingerprint, Dot(weights, True), Dot(weights * 3, False))


@attrs.define
class OneModel:
    """A registry of one bundle, which may be exchanged."""

    bundle: Any = None

    def active(self) -> Any:
        if isinstance(self.bundle, Exception):
            raise self.bundle
        return self.bundle


def candle_json(frame: pd.DataFrame, row: int) -> dict[str, Any]:
    """A row of candles as a request's body."""
    values = frame.iloc[row]
    return {
        **{name: float(values[name]) for name in ("open", "high", "low", "close", "volume")},
        "timestamp": values["timestamp"].isoformat(),
    }


def inference_view(store: FeatureStore) -> FeatureView:
    for definition in store.definitions():
        if isinstance(definition, FeatureView) and definition.label is not None:
            return definition
    raise NotFound("no training view")


def floats(values: Sequence[float]) -> bytes:
    """The bits of numbers."""
    return np.asarray(values, dtype="float64").tobytes()


@contextmanager
def listening_server(app: Any, **options: Any) -> Iterator[tuple[str, int]]:
    """The app on a free port of this machine, listened to as ``btcfs serve`` does; its host and port."""
    import uvicorn

    from btcfs.serving.listening import listening

    settings = listening(app, "127.0.0.1", 0, **options)
    server = uvicorn.Server(settings)
    bound = settings.bind_socket()
    bound.listen()
    thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]})
    thread.start()
    try:
        yield bound.getsockname()[:2]
    finally:
        server.should_exit = True
        thread.join()
