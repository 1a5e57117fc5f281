"""Predictions as they wait to be logged, as bytes, and as rows of their feature group."""

from __future__ import annotations

import struct
from binascii import a2b_base64, b2a_base64
from collections.abc import Iterable, Sequence
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from btcfs.definitions import Feature, FeatureGroup
from btcfs.online.computed import Candle
from btcfs.store import FeatureStore

if TYPE_CHECKING:
    import pandas as pd

    Floats = np.ndarray[Any, np.dtype[np.float64]]

_BITS = np.dtype("<f8")
FEW = 15  # the most items of a MessagePack array that says their number in one byte
# What a store raises that takes the same rows later: when it is not busy, can be reached, and has been given a valid key.
PASSING = (TimeoutError, ConnectionError, PermissionError)

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


class Logged(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One prediction as it is logged; times in microseconds, ``values`` as an array or as little-endian float64."""

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
    values: Any
    candle: Any  # a Candle or None; its fields once decoded


def _plain(value: Any) -> Any:
    """What msgspec does not know: a vector's bits, and a number that numpy holds."""
    return vector_bits(value) if isinstance(value, np.ndarray) else value.item()


_encode = msgspec.msgpack.Encoder(enc_hook=_plain).encode
_decode = msgspec.msgpack.Decoder(list[Logged]).decode
_json = msgspec.json.Encoder().encode


def encoded(few: list[Logged]) -> memoryview:
    """At most ``FEW`` predictions encoded one after another: together they take half the time."""
    return memoryview(_encode(few))[1:]  # without the byte that says how many they are


def joined(rows: int, pieces: Sequence[bytearray]) -> bytes:
    """Predictions that were encoded one after another as one message, which is a list of them."""
    return b"".join([struct.pack(">BI", 0xDD, rows), *pieces])  # a MessagePack array of so many items


def written(store: FeatureStore, batch: bytes) -> None:
    """Write a batch to the store, its group applied first."""
    store.apply(PREDICTIONS)
    store.write(PREDICTIONS, frame_of(_decode(batch)))


def frame_of(batch: Sequence[Logged]) -> pd.DataFrame:
    """Predictions as rows of ``PREDICTIONS``."""
    import pandas as pd

    from btcfs.frames import from_micros_array

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


def _objects(values: Iterable[Any], count: int) -> pd.Series:
    import pandas as pd

    return pd.Series(np.fromiter(values, dtype=object, count=count), dtype=object)


def vector_bits(values: Floats) -> bytes:
    """A vector as little-endian float64."""
    return values.tobytes() if values.dtype == _BITS else values.astype(_BITS).tobytes()


def vector_text(values: Floats | bytes) -> str:
    """A vector, or its bits, as text that keeps every bit."""
    bits = values if isinstance(values, bytes) else vector_bits(values)
    return b2a_base64(bits, newline=False).decode("ascii")


def vector_of(text: str) -> Floats:
    """The vector that ``vector_text`` wrote."""
    return np.frombuffer(a2b_base64(text), dtype="<f8").astype("float64")


def candle_text(candle: Any) -> str | None:
    """A candle as JSON; the shortest text of a float64 that reads back as the same bits."""
    return None if candle is None else _json(candle).decode()


def logged_candle(text: str | None) -> Candle | None:
    """The candle that ``candle_text`` wrote."""
    return None if text is None else Candle(**msgspec.json.decode(text))
