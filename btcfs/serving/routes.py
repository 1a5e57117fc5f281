"""The routes that answer for people and programs other than the one fast prediction."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Sequence
from time import perf_counter, time
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from btcfs.errors import BtcfsError, SchemaError, StoreUnavailable
from btcfs.instants import from_micros, parse_instant
from btcfs.online.features import age_seconds
from btcfs.online.windows import get_feature_window
from btcfs.serving.active import ActiveModel
from btcfs.serving.bodies import (
    MOST_WINDOW_ROWS,
    PredictionRequest,
    VectorResponse,
    WindowResponse,
    checked_instant,
    decode_batch,
)
from btcfs.serving.counters import CONTENT_TYPE
from btcfs.serving.csv_batch import decode_csv, is_csv
from btcfs.serving.endpoint import found
from btcfs.serving.openapi import document
from btcfs.serving.predictor import answer, asked
from btcfs.serving.problems import problem_of, without_paths
from btcfs.serving.request_parts import json_answer, parameters, running, whole_body, whole_number
from btcfs.serving.service import Service
from btcfs.serving.store_gauges import store_gauges
from btcfs.transfer.tally import Tally

TURN = 16

Endpoint = Callable[[Request], Awaitable[Response]]


class Routes:
    """The endpoints of one app, over its service."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def index(self, request: Request) -> Response:
        """Where to find what."""
        paths = list(document()["paths"])
        return json_answer({"service": "btcfs predictor", "openapi": "openapi.json", "paths": paths})

    async def health(self, request: Request) -> Response:
        """The process answers."""
        return json_answer({"status": "ok"})

    async def ready(self, request: Request) -> Response:
        """A model is loaded and its store can be read; 503 otherwise. Says as well what the last reload refused, and what fails in the log."""
        service = self._service
        model = await running(service)
        age: float | None = None
        try:
            newest = await service.in_thread(model.features.stored, service.options.symbol)
            age = age_seconds(newest.event_time)
        except LookupError:
            pass  # nothing stored yet of the default market: posted candles will say so themselves
        failing = None if service.log is None else service.log.last_error
        return json_answer(
            {
                "status": "ready",
                "model_version": model.bundle.version,
                "backend": service.store.name,
                "newest_age_s": age,
                "refused_model": None if service.failure is None else without_paths(service.failure),
                "log_error": None if failing is None else without_paths(failing),
            }
        )

    async def metrics(self, request: Request) -> Response:
        """Counters in the Prometheus text format."""
        return Response(self._service.counters.text(_gauges(self._service)), media_type=CONTENT_TYPE)

    async def openapi(self, request: Request) -> Response:
        """The OpenAPI document."""
        return json_answer(document())

    async def predict_many(self, request: Request) -> Response:
        """Predictions in the order asked, in JSON or CSV; one that cannot be made is a problem document in its place."""
        decode = decode_csv if is_csv(request.headers.get("content-type", "")) else _json_requests
        requests = decode(await whole_body(request, self._service))
        model = await running(self._service)
        answers = []
        for number, item in enumerate(requests):
            if number % TURN == 0:
                await asyncio.sleep(0)  # a long batch lets the other requests in between
            answers.append(await self._one(item, model))
        return json_answer({"predictions": answers})

    async def features(self, request: Request) -> Response:
        """The stored vector of a candle, of the newest one known at an instant, or of the newest of all."""
        query = parameters(request, "symbol", "timestamp", "known_at")
        if "timestamp" in query and "known_at" in query:
            raise SchemaError("ask for 'timestamp' (any instant inside the candle) or for 'known_at', not for both")
        service = self._service
        model = await running(service)
        symbol, at = query.get("symbol", service.options.symbol), int(time() * 1_000_000)
        if "timestamp" in query:
            inside = checked_instant(parse_instant(query["timestamp"]), at)
            work: tuple[Any, ...] = (model.features.stored, symbol, model.features.open_time(inside))
        elif "known_at" in query:
            work = (model.features.known_at, symbol, checked_instant(parse_instant(query["known_at"]), at))
        else:
            work = (model.features.stored, symbol)
        vector = await service.in_thread(*work)
        return json_answer(
            VectorResponse(
                symbol=symbol,
                timestamp=from_micros(vector.timestamp),
                as_of=from_micros(vector.event_time),
                view=model.view.name,
                view_version=model.view.version,
                feature_source=vector.source,
                freshness_s=age_seconds(vector.event_time),
                features=dict(zip(model.view.features, vector.values.tolist(), strict=True)),
                fallback_reason=vector.fallback_reason,
            )
        )

    async def window(self, request: Request) -> Response:
        """The last ``n`` vectors as one matrix; a missing value is null."""
        query = parameters(request, "symbol", "n", "end")
        rows = whole_number("n", query.get("n", "64"), MOST_WINDOW_ROWS)
        service = self._service
        model = await running(service)
        symbol = query.get("symbol", service.options.symbol)
        end = None
        if "end" in query:
            inside = checked_instant(parse_instant(query["end"]), int(time() * 1_000_000))
            end = from_micros(model.features.open_time(inside))
        window = await service.in_thread(get_feature_window, service.store, model.view, symbol, rows, end=end)
        values = [[None if math.isnan(v) else v for v in row] for row in window.values.tolist()]
        return json_answer(
            WindowResponse(
                symbol, model.view.name, model.view.version, list(window.features), list(window.timestamps), values
            )
        )

    async def _one(self, item: PredictionRequest | SchemaError, model: ActiveModel) -> Any:
        service, began = self._service, perf_counter()
        if isinstance(item, SchemaError):
            return problem_of(item)
        try:
            question = asked(item, model, service.options.symbol)
            features = await found(service, question, model)
            response, logged = answer(question, model, features, began, service.identifiers.next())
        except BtcfsError as exc:
            return problem_of(exc)
        service.counters.predicted(features.source, response.latency_ms)
        service.counters.fallbacks += features.fallback_reason is not None
        if service.log is not None:
            service.log.add(logged)
        return response


def _json_requests(body: bytes) -> Sequence[PredictionRequest]:
    return decode_batch(body).requests


def counted(service: Service, route: str, endpoint: Endpoint) -> Endpoint:
    """The endpoint, its answers counted under the route's name; errors are counted where they are answered."""

    async def call(request: Request) -> Response:
        request.scope["btcfs.route"] = route
        response = await endpoint(request)
        service.counters.responses[route, response.status_code] += 1
        return response

    return call


def _gauges(service: Service) -> list[tuple[str, str, float, dict[str, str]]]:
    gauges = _shadow_gauges(service)
    gauges += store_gauges(service.store) if service.started else []
    log = service.log
    if log is not None:
        gauges += [
            ("btcfs_prediction_log_written", "Predictions written to the store.", log.written, {}),
            ("btcfs_prediction_log_dropped", "Predictions that were not logged.", log.dropped, {}),
            ("btcfs_prediction_log_waiting", "Predictions waiting to be written.", log.waiting, {}),
            (
                "btcfs_prediction_log_failing",
                "Whether the log fails; /ready says why.",
                float(log.last_error is not None),
                {},
            ),
        ]
        if log.spool is not None:
            gauges += [
                (
                    "btcfs_prediction_log_kept",
                    "Predictions on the local disk until they are written.",
                    log.spool.rows,
                    {},
                ),
                ("btcfs_prediction_log_torn", "Files whose end a crash had torn.", log.spool.torn, {}),
            ]
    try:
        model = service.model
    except StoreUnavailable:
        return gauges
    cache = model.features.cache
    return [
        *gauges,
        ("btcfs_vector_cache_hits", "Vectors found in the cache since the model was loaded.", cache.hits, {}),
        ("btcfs_vector_cache_misses", "Vectors read from the store since then.", cache.misses, {}),
        ("btcfs_model_info", "The model that answers.", 1, {"version": model.bundle.version, "view": model.view.title}),
    ]


def _shadow_gauges(service: Service) -> list[tuple[str, str, float, dict[str, str]]]:
    """What the shadow of the store counted, if it has one."""
    tally = getattr(service.store, "tally", None) if service.started else None
    if not isinstance(tally, Tally):
        return []
    reads = [
        ("btcfs_shadow_reads", "Reads by what became of them at the shadow.", count, {"outcome": kind})
        for kind, count in sorted(tally.reads.items())
    ]
    wrong = [
        (
            "btcfs_shadow_disagreements",
            "Values that differ from the shadow's.",
            count,
            {"where": where, "feature": name},
        )
        for (where, name), count in sorted(tally.disagreements.items())
    ]
    return [*reads, *wrong]
