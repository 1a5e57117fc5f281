"""What the predictor takes and answers as JSON, decoded strictly."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from btcfs.errors import SchemaError
from btcfs.instants import UTC, from_micros, to_micros
from btcfs.online.computed import Candle

MOST_REQUESTS = 1_000
MOST_WINDOW_ROWS = 1_000
EARLIEST = datetime(2009, 1, 1, tzinfo=UTC)  # before the first block there is no candle
_EARLIEST = to_micros(EARLIEST)

Price = Annotated[float, Meta(gt=0, description="in the quote currency, such as USD")]
Volume = Annotated[float, Meta(ge=0, description="in the base currency, such as BTC")]
Instant = Annotated[datetime, Meta(tz=True, description="RFC 3339 with an offset")]
Symbol = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/:-]{0,31}\Z", description="market, such as BTC-USD")]


class PredictionRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A candle to predict from: all of open, high, low, close and volume, and any instant inside it.

    Without the five, the newest candle that was known at ``timestamp``; without that too, the newest one.
    """

    open: Price | UnsetType = UNSET
    high: Price | UnsetType = UNSET
    low: Price | UnsetType = UNSET
    close: Price | UnsetType = UNSET
    volume: Volume | UnsetType = UNSET
    timestamp: Instant | UnsetType = UNSET
    symbol: Symbol | UnsetType = UNSET


class BatchRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Several requests, answered in order."""

    requests: Annotated[list[PredictionRequest], Meta(min_length=1, max_length=MOST_REQUESTS)]


class Activation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why a version is to be activated although a check of its gate failed; no reason, no force."""

    force_reason: Annotated[str, Meta(min_length=3, max_length=500)] | None = None


class Classification(msgspec.Struct, frozen=True):
    """Whether the price is expected to rise by more than the label's threshold: 1 or 0, and how probable UP is."""

    prediction: int
    direction: str
    probability: Annotated[float, Meta(ge=0, le=1, description="of UP")]


class Regression(msgspec.Struct, frozen=True):
    """The expected change of the price over the horizon, in percent: 0.5 means half a percent up."""

    price_change_pct: float


class PredictionResponse(msgspec.Struct, frozen=True):
    """One prediction, what it rests on, and how long it took.

    ``timestamp`` is the candle's open time and ``as_of`` when its features were known (its close),
    ``horizon`` counts candles of ``interval`` from there, ``latency_ms`` is measured.
    """

    prediction_id: str
    symbol: str
    timestamp: datetime
    as_of: datetime
    horizon: int
    interval: str
    classification: Classification
    regression: Regression
    model_version: str
    view: str
    view_version: int
    feature_source: str
    fallback_reason: str | None
    freshness_s: float
    latency_ms: float


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """An error after RFC 9457, sent as application/problem+json."""

    type: str
    title: str
    status: int
    detail: str
    needed: int | None = None
    have: int | None = None


class VectorResponse(msgspec.Struct, frozen=True):
    """A stored vector by feature name."""

    symbol: str
    timestamp: datetime
    as_of: datetime
    view: str
    view_version: int
    feature_source: str
    freshness_s: float
    features: dict[str, float]
    fallback_reason: str | None = None


class WindowResponse(msgspec.Struct, frozen=True):
    """The last vectors of a symbol, the oldest first: ``values`` has a row per timestamp and a column per feature."""

    symbol: str
    view: str
    view_version: int
    features: list[str]
    timestamps: list[datetime]
    values: list[list[float | None]]


decode_request = msgspec.json.Decoder(PredictionRequest).decode
decode_batch = msgspec.json.Decoder(BatchRequest).decode
decode_activation = msgspec.json.Decoder(Activation).decode
encode = msgspec.json.Encoder().encode


def candle_of(request: PredictionRequest, open_time: int) -> Candle | None:
    """The candle in a request, None if it has none. SchemaError unless all five numbers are there and consistent."""
    values: tuple[Any, ...] = (request.open, request.high, request.low, request.close, request.volume)
    absent = values.count(UNSET)
    if absent == 5:
        return None
    if absent:
        names = [name for name in ("open", "high", "low", "close", "volume") if getattr(request, name) is UNSET]
        raise SchemaError(f"the candle lacks {', '.join(names)}; send all of open, high, low, close, volume, or none")
    if request.timestamp is UNSET:
        raise SchemaError("the candle lacks its timestamp, an RFC 3339 text such as 2025-12-06T12:00:00Z")
    first, high, low, last, volume = values
    if not (low <= first <= high and low <= last <= high):
        raise SchemaError(f"low {low} ≤ open {first}, close {last} ≤ high {high} does not hold")
    if high - low == float("inf") or volume == float("inf"):
        raise SchemaError("a number of the candle is beyond all bounds")
    return Candle(open_time, float(first), float(high), float(low), float(last), float(volume))


def checked_instant(instant: datetime, at: int) -> int:
    """Microseconds of a request's instant. SchemaError if it lies ahead of ``at`` or before Bitcoin."""
    micros = to_micros(instant)
    if micros > at:
        raise SchemaError(f"timestamp {instant.isoformat()} lies ahead of {from_micros(at).isoformat()}, the time here")
    if micros < _EARLIEST:
        raise SchemaError(f"timestamp {instant.isoformat()} lies before {EARLIEST.isoformat()}")
    return micros
