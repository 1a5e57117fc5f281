"""From a request to a prediction: find the features, ask the model, note where each came from."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from itertools import count
from time import perf_counter, time

import msgspec

from btcfs.errors import NotFound, SchemaError, StoreBusy, StoreUnavailable
from btcfs.instants import from_micros
from btcfs.online.cache import opening
from btcfs.online.computed import Candle
from btcfs.online.features import NOT_STORED, Features
from btcfs.serving.active import ActiveModel
from btcfs.serving.bodies import (
    Classification,
    PredictionRequest,
    PredictionResponse,
    Regression,
    candle_of,
    checked_instant,
)
from btcfs.serving.prediction_rows import Logged, vector_bits
from btcfs.serving.problems import Stale


class Question(msgspec.Struct, frozen=True):
    """A checked request: which market, at what time (microseconds, None for the newest), from which candle if any."""

    symbol: str
    at: int
    instant: int | None = None
    candle: Candle | None = None


class Identifiers:
    """Identifiers of predictions, unique without asking anyone: random for the process, then counted."""

    def __init__(self) -> None:
        self._prefix = os.urandom(6).hex()
        self._numbers = count()

    def next(self) -> str:
        return f"{self._prefix}{next(self._numbers):08x}"


def asked(request: PredictionRequest, model: ActiveModel, symbol: str) -> Question:
    """The question in a request; ``symbol`` is meant where it names none. SchemaError for what is not possible."""
    at = int(time() * 1_000_000)
    market = request.symbol if isinstance(request.symbol, str) else symbol
    stamp = request.timestamp
    instant = None if not stamp else checked_instant(stamp, at)
    candle = candle_of(request, 0 if instant is None else model.features.open_time(instant))
    return Question(market, at, instant, candle)


def stored(question: Question, model: ActiveModel) -> Features:
    """The features without any computation. NotFound if the question's candle is not stored."""
    if question.candle is not None:
        return model.features.stored(question.symbol, question.candle.timestamp)
    if question.instant is not None:
        return model.features.known_at(question.symbol, question.instant)
    return model.features.stored(question.symbol)


def computation(question: Question, model: ActiveModel, error: Exception) -> Callable[[], Features]:
    """How to go on after ``stored`` raised ``error``; raises it again if there is no other way."""
    candle = question.candle
    if candle is None or not isinstance(error, (NotFound, StoreBusy, StoreUnavailable)):
        raise error
    reason = NOT_STORED if isinstance(error, NotFound) else f"the store cannot be read: {error}"
    return lambda: model.features.computed(question.symbol, candle, reason)


def check_age(question: Question, features: Features, most: float) -> None:
    """Stale if the newest candle is asked for, and it became known more than so many seconds ago."""
    age = (question.at - features.event_time) / 1_000_000
    if question.instant is None and age > most:
        raise Stale(
            f"the newest {question.symbol} features became known {from_micros(features.event_time).isoformat()}, "
            f"{age / 3600:.1f} h ago, and more than {most / 3600:g} h is too old for a prediction; "
            f"btcfs ingest --mode daily brings them up to date"
        )


def predicted(model: ActiveModel, features: Features) -> list[float]:
    """The probability of UP and the change in percent, kept with the features. SchemaError if one is no finite number."""
    bundle = model.bundle
    outputs = [float(bundle.classification.predict(features.values)), float(bundle.regression.predict(features.values))]
    if not all(map(math.isfinite, outputs)):
        raise SchemaError(
            f"model {bundle.version} gives {outputs[0]} and {outputs[1]} for the {features.symbol} candle of "
            f"{from_micros(features.timestamp)}, which are no predictions"
        )
    features.outputs[:] = outputs
    return outputs


def answer(
    question: Question, model: ActiveModel, features: Features, began: float, identifier: str
) -> tuple[PredictionResponse, Logged]:
    """The prediction and its log entry. ``began`` is ``perf_counter()`` at the request's arrival.

    SchemaError if the model answers with no finite number.
    """
    bundle, view = model.bundle, model.view
    up, change = features.outputs or predicted(model, features)
    known = features.event_time if features.event_time <= question.at else question.at
    latency = (perf_counter() - began) * 1000
    response = PredictionResponse(
        prediction_id=identifier,
        symbol=question.symbol,
        timestamp=opening(features.timestamp),
        as_of=from_micros(known) if known == question.at else opening(known),
        horizon=bundle.label.horizon,
        interval=model.interval,
        classification=Classification(1 if up > 0.5 else 0, "UP" if up > 0.5 else "DOWN", up),
        regression=Regression(change),
        model_version=bundle.version,
        view=view.name,
        view_version=view.version,
        feature_source=features.source,
        fallback_reason=features.fallback_reason,
        freshness_s=(question.at - known) / 1_000_000,
        latency_ms=latency,
    )
    logged = Logged(
        identifier,
        question.at,
        question.symbol,
        features.timestamp,
        known,
        bundle.label.horizon,
        bundle.version,
        view.name,
        view.version,
        view.fingerprint,
        features.source,
        features.fallback_reason,
        up,
        change,
        latency,
        vector_bits(features.values),
        question.candle,
    )
    return response, logged
