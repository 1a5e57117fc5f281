"""Every prediction as a row of a feature group, written in batches beside the requests and never in their way."""

from __future__ import annotations

import logging
from binascii import a2b_base64, b2a_base64
from collections import deque
from collections.abc import Iterable, Sequence
from operator import attrgetter
from threading import Condition, Lock, Thread
from typing import TYPE_CHECKING, Any

import attrs
import msgspec
import numpy as np
import pandas as pd

from btcfs.definitions import Feature, FeatureGroup
from btcfs.errors import BtcfsError
from btcfs.frames import from_micros_array
from btcfs.online.computed import Candle
from btcfs.store import FeatureStore

if TYPE_CHECKING:
    Floats = np.ndarray[Any, np.dtype[np.float64]]

CAPACITY = 100_000
BATCH = 10_000
INTERVAL_SECONDS = 2.0

_log = logging.getLogger(__name__)
_encode = msgspec.json.Encoder().encode

PREDICTIONS = FeatureGroup(
    name="btcfs_predictions",
    version=1,
    primary_key=("prediction_id",),
    features=[
        Feature("symbol", "string", description="the market"),
        Feature("candle_timestamp", "timestamp", description="open time of the candle predicted from"),
        Feature("known_at", "timestamp", description="when its features were known"),
        Feature("horizon", "int64", unit="candles", description="how far ahead the prediction looks"),
        Feature("model_version", "string", description="the bundle"),
        Feature("view", "string", description="the feature view"),
        Feature("view_version", "int64", description="its version"),
        Feature("view_fingerprint", "string", description="its fingerprint"),
        Feature("feature_source", "string", description="a backend's name, cache, or local"),
        Feature("fallback_reason", "string", description="why the features are not the stored ones"),
        Feature("probability", "float64", bounds=(0.0, 1.0), description="of UP"),
        Feature("price_change_pct", "float64", unit="percent", description="expected change over the horizon"),
        Feature("latency_ms", "float64", unit="ms", description="from the request's arrival to its answer"),
        Feature("vector", "string", description="the model's input: base64 of little-endian float64"),
        Feature("candle", "string", description="the candle posted, as JSON"),
    ],
    description="Predictions served; the event time is when each was made.",
)


@attrs.frozen(eq=False)
class Logged:
    """One prediction as it is logged; times in microseconds."""

    prediction_id: str
    made_at: int
    symbol: str
    candle_timestamp: int
    known_at: int
    horizon: int
    model_version: str
    view: str
    view_version: int
    view_fingerprint: str
    feature_source: str
    fallback_reason: str | None
    probability: float
    price_change_pct: float
    latency_ms: float
    values: Floats
    candle: Candle | None


class PredictionLog:
    """A bounded queue of predictions and the thread that writes them to the store.

    ``add`` never waits: when ``capacity`` predictions are waiting already, it drops this one and
    counts it. A batch that the busy store refuses stays in the queue and is tried again; one that
    it refuses for another reason is dropped and counted, and the reason logged.
    """

    def __init__(self, store: FeatureStore, capacity: int = CAPACITY, interval: float = INTERVAL_SECONDS) -> None:
        self.written = 0
        self.dropped = 0
        self.last_error: str | None = None
        self._store = store
        self._capacity = capacity
        self._interval = interval
        self._waiting: deque[Logged] = deque()
        self._wake = Condition()
        self._writing = Lock()
        self._stopping = False
        self._thread: Thread | None = None

    @property
    def waiting(self) -> int:
        """Predictions that are not written yet."""
        return len(self._waiting)

    def start(self) -> None:
        """Begin to write. The group is created with the first batch."""
        self._stopping = False
        self._thread = Thread(target=self._work, name="btcfs-prediction-log", daemon=True)
        self._thread.start()

    def add(self, prediction: Logged) -> None:
        """Queue a prediction, or drop it if the queue is full."""
        if len(self._waiting) >= self._capacity:
            self.dropped += 1
            return
        self._waiting.append(prediction)

    def stop(self, seconds: float = 10.0) -> None:
        """Write what is waiting, as far as that takes no longer than so many seconds, and end the thread."""
        if self._thread is None:
            return
        with self._wake:
            self._stopping = True
            self._wake.notify_all()
        self._thread.join(seconds)
        if self._waiting:
            self.dropped += len(self._waiting)
            _log.warning("%d predictions were not logged: %s", len(self._waiting), self.last_error or "no time left")
            self._waiting.clear()
        self._thread = None

    def flush(self) -> bool:
        """Write what is waiting now; whether all of it is written. Called by the log's own thread, and by tests."""
        with self._writing:
            return self._written()

    def _written(self) -> bool:
        while self._waiting:
            batch = [self._waiting[i] for i in range(min(BATCH, len(self._waiting)))]
            try:
                self._store.apply(PREDICTIONS)
                self._store.write(PREDICTIONS, frame_of(batch))
            except BtcfsError as exc:
                self.last_error = f"{type(exc).__name__}: {exc}"
                if isinstance(exc, (TimeoutError, ConnectionError)):  # StoreBusy and StoreUnavailable pass
                    return False
                self.dropped += len(batch)
                _log.warning("%d predictions were not logged: %s", len(batch), self.last_error)
            else:
                self.written += len(batch)
                self.last_error = None
            for _ in batch:
                self._waiting.popleft()
        return True

    def _work(self) -> None:
        while True:
            with self._wake:
                stopping = self._stopping or self._wake.wait_for(lambda: self._stopping, self._interval)
            try:
                done = self.flush()
            except Exception as exc:  # noqa: BLE001 - a backend may fail in any way, and the log must outlive it
                self.last_error = f"{type(exc).__name__}: {exc}"
                _log.exception("the prediction log could not write a batch of %d", self.waiting)
                done = False
            if stopping and (done or self.last_error):
                return


def frame_of(batch: Sequence[Logged]) -> pd.DataFrame:
    """Predictions as rows of ``PREDICTIONS``."""
    columns: dict[str, Any] = {name: list(map(attrgetter(name), batch)) for name in _NUMBERS}
    # As objects: pandas would turn texts into its own kind of string, which the store turns back.
    columns.update({name: _objects(map(attrgetter(name), batch), len(batch)) for name in _TEXTS})
    for name, field in _TIMES.items():
        columns[name] = from_micros_array(np.fromiter(map(attrgetter(field), batch), np.int64, len(batch)))
    columns["vector"] = _objects((vector_text(item.values) for item in batch), len(batch))
    columns["candle"] = _objects((candle_text(item.candle) for item in batch), len(batch))
    return pd.DataFrame(columns)[list(PREDICTIONS.columns)]


_TIMES = {"event_time": "made_at", "candle_timestamp": "candle_timestamp", "known_at": "known_at"}
_TEXTS = [n for n, dtype in PREDICTIONS.dtypes.items() if dtype == "string" and n not in ("vector", "candle")]
_NUMBERS = [n for n, dtype in PREDICTIONS.dtypes.items() if dtype in ("int64", "float64")]
_CANDLE = ("timestamp", "open", "high", "low", "close", "volume")


def _objects(values: Iterable[Any], count: int) -> pd.Series:
    return pd.Series(np.fromiter(values, dtype=object, count=count), dtype=object)


def vector_text(values: Floats) -> str:
    """A vector as text that keeps every bit."""
    return b2a_base64(values.astype("<f8", copy=False).tobytes(), newline=False).decode("ascii")


def vector_of(text: str) -> Floats:
    """The vector that ``vector_text`` wrote."""
    return np.frombuffer(a2b_base64(text), dtype="<f8").astype("float64")


def candle_text(candle: Candle | None) -> str | None:
    """A candle as JSON; the shortest text of a float64 that reads back as the same bits."""
    if candle is None:
        return None
    return _encode({name: getattr(candle, name) for name in _CANDLE}).decode()


def logged_candle(text: str | None) -> Candle | None:
    """The candle that ``candle_text`` wrote."""
    return None if text is None else Candle(**msgspec.json.decode(text))
