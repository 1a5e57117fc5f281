"""The routes that answer for people and programs other than the one fast prediction."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping
from time import perf_counter, time
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from btcfs.definitions import TIME_KEY
from btcfs.errors import BtcfsError, SchemaError, StoreUnavailable, Unsupported
from btcfs.instants import from_micros, parse_instant
from btcfs.online.features import age_seconds
from btcfs.online.windows import get_feature_window
from btcfs.serving.active import ActiveModel
from btcfs.serving.admin import require_admin
from btcfs.serving.bodies import (
    MOST_WINDOW_ROWS,
    PredictionRequest,
    VectorResponse,
    WindowResponse,
    checked_instant,
    decode_activation,
    decode_batch,
    encode,
)
from btcfs.serving.counters import CONTENT_TYPE
from btcfs.serving.endpoint import found
from btcfs.serving.exchange import read_body
from btcfs.serving.openapi import document
from btcfs.serving.predictor import answer, asked
from btcfs.serving.problems import problem_of
from btcfs.serving.service import Service
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
        return _json({"service": "btcfs predictor", "openapi": "openapi.json", "paths": paths})

    async def health(self, request: Request) -> Response:
        """The process answers."""
        return _json({"status": "ok"})

    async def ready(self, request: Request) -> Response:
        """A model is loaded and its store can be read; 503 otherwise. Says as well what the last reload refused."""
        service = self._service
        model = await self._model()
        age: float | None = None
        try:
            newest = await service.in_thread(model.features.stored, service.options.symbol)
            age = age_seconds(newest.event_time)
        except LookupError:
            pass  # nothing stored yet of the default market: posted candles will say so themselves
        return _json(
            {
                "status": "ready",
                "model_version": model.bundle.version,
                "backend": service.store.name,
                "newest_age_s": age,
                "refused_model": service.failure,
            }
        )

    async def metrics(self, request: Request) -> Response:
        """Counters in the Prometheus text format."""
        return Response(self._service.counters.text(_gauges(self._service)), media_type=CONTENT_TYPE)

    async def openapi(self, request: Request) -> Response:
        """The OpenAPI document."""
        return _json(document())

    async def predict_many(self, request: Request) -> Response:
        """Predictions in the order asked; one that cannot be made is a problem document in its place."""
        body = decode_batch(await self._body(request))
        model = await self._model()
        answers = []
        for number, item in enumerate(body.requests):
            if number % TURN == 0:
                await asyncio.sleep(0)  # a long batch lets the other requests in between
            answers.append(await self._one(item, model))
        return _json({"predictions": answers})

    async def features(self, request: Request) -> Response:
        """The stored vector of a candle, of the newest one known at an instant, or of the newest of all."""
        query = _query(request, "symbol", "timestamp", "known_at")
        if "timestamp" in query and "known_at" in query:
            raise SchemaError("ask for 'timestamp' (any instant inside the candle) or for 'known_at', not for both")
        service = self._service
        model = await self._model()
        symbol, at = query.get("symbol", service.options.symbol), int(time() * 1_000_000)
        if "timestamp" in query:
            inside = checked_instant(parse_instant(query["timestamp"]), at)
            work: tuple[Any, ...] = (model.features.stored, symbol, model.features.open_time(inside))
        elif "known_at" in query:
            work = (model.features.known_at, symbol, checked_instant(parse_instant(query["known_at"]), at))
        else:
            work = (model.features.stored, symbol)
        vector = await service.in_thread(*work)
        return _json(
            VectorResponse(
                symbol=symbol,
                timestamp=from_micros(vector.timestamp),
                as_of=from_micros(vector.event_time),
                view=model.view.name,
                view_version=model.view.version,
                feature_source=vector.source,
                freshness_s=age_seconds(vector.event_time),
                features=dict(zip(model.view.features, vector.values.tolist(), strict=True)),
            )
        )

    async def window(self, request: Request) -> Response:
        """The last ``n`` vectors as one matrix; a missing value is null."""
        query = _query(request, "symbol", "n", "end")
        rows = _whole("n", query.get("n", "64"), MOST_WINDOW_ROWS)
        service = self._service
        model = await self._model()
        symbol = query.get("symbol", service.options.symbol)
        end = None
        if "end" in query:
            inside = checked_instant(parse_instant(query["end"]), int(time() * 1_000_000))
            end = from_micros(model.features.open_time(inside))
        window = await service.in_thread(get_feature_window, service.store, model.view, symbol, rows, end=end)
        values = [[None if math.isnan(v) else v for v in row] for row in window.values.tolist()]
        return _json(
            WindowResponse(
                symbol, model.view.name, model.view.version, list(window.features), list(window.timestamps), values
            )
        )

    async def model(self, request: Request) -> Response:
        """The model that answers: version, view, features in order, label, metrics."""
        return _json(_described(await self._model()))

    async def models(self, request: Request) -> Response:
        """The versions in the models folder."""
        registry = self._registry("versions")
        versions = await self._service.in_thread(registry.versions)
        return _json({"versions": [_plain(version) for version in versions], "active": self._active_version()})

    async def model_version(self, request: Request) -> Response:
        """What is known of one version."""
        registry = self._registry("show")
        return _json(_plain(await self._service.in_thread(registry.show, request.path_params["version"])))

    async def activate(self, request: Request) -> Response:
        """Activate a version if its gate lets it, and serve it. For the administrator."""
        service = self._service
        require_admin(request, service.options.admin_token)
        raw = await self._body(request)
        reason = decode_activation(raw).force_reason if raw.strip() else None
        await self._started()
        registry = self._registry("activate")
        version = request.path_params["version"]
        await service.in_thread(_activate, registry, version, reason)
        model = await service.in_thread(service.reload)
        return _json({"active": model.bundle.version})

    async def reload(self, request: Request) -> Response:
        """Load the active version anew; requests under way keep the one they have. For the administrator."""
        require_admin(request, self._service.options.admin_token)
        await self._started()
        model = await self._service.in_thread(self._service.reload)
        return _json({"active": model.bundle.version})

    async def _one(self, item: PredictionRequest, model: ActiveModel) -> Any:
        service, began = self._service, perf_counter()
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

    async def _body(self, request: Request) -> bytes:
        options = self._service.options
        return await read_body(request.scope, request.receive, options.most_bytes * 16, options.body_seconds)

    async def _started(self) -> None:
        if not self._service.started:
            await self._service.in_thread(self._service.start)

    async def _model(self) -> ActiveModel:
        await self._started()
        return self._service.model

    def _active_version(self) -> str | None:
        try:
            return self._service.model.bundle.version
        except StoreUnavailable:
            return None

    def _registry(self, method: str) -> Any:
        if not hasattr(self._service.models, method):
            raise Unsupported("this app was given one fixed model, not a models folder")
        return self._service.models


def counted(service: Service, route: str, endpoint: Endpoint) -> Endpoint:
    """The endpoint, its answers counted under the route's name; errors are counted where they are answered."""

    async def call(request: Request) -> Response:
        request.scope["btcfs.route"] = route
        response = await endpoint(request)
        service.counters.responses[route, response.status_code] += 1
        return response

    return call


def _activate(registry: Any, version: str, reason: str | None) -> None:
    from btcfs.training.gate import recorded_checks

    checks = recorded_checks(registry.load(version).metadata)
    registry.activate(version, checks=checks, force_reason=reason)


def _json(content: Any) -> Response:
    return Response(encode(content), media_type="application/json")


def _query(request: Request, *known: str) -> dict[str, str]:
    """The query's parameters. SchemaError for an unknown or a repeated one."""
    pairs = request.query_params.multi_items()
    names = [name for name, _ in pairs]
    for name in names:
        if name not in known:
            raise SchemaError(f"unknown parameter {name[:40]!r}; known are {', '.join(known)}")
        if names.count(name) > 1:
            raise SchemaError(f"parameter {name!r} is given more than once")
    return dict(pairs)


def _whole(name: str, text: str, most: int) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 10 and 1 <= int(text) <= most):
        raise SchemaError(f"{name} is {text[:20]!r}, expected a whole number from 1 to {most:,}")
    return int(text)


def _gauges(service: Service) -> list[tuple[str, str, float, dict[str, str]]]:
    gauges = _shadow_gauges(service)
    log = service.log
    if log is not None:
        gauges += [
            ("btcfs_prediction_log_written", "Predictions written to the store.", log.written, {}),
            ("btcfs_prediction_log_dropped", "Predictions that were not logged.", log.dropped, {}),
            ("btcfs_prediction_log_waiting", "Predictions waiting to be written.", log.waiting, {}),
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


def _described(model: ActiveModel) -> dict[str, Any]:
    bundle = model.bundle
    return {
        "version": bundle.version,
        "view": model.view.name,
        "view_version": model.view.version,
        "view_fingerprint": model.view.fingerprint,
        "features": list(model.view.features),
        "label": bundle.label.to_dict(),
        "interval": model.interval,
        "entity": [name for name in model.features.group.primary_key if name != TIME_KEY],
        "metrics": _plain(getattr(bundle, "metrics", {})),
        "metadata": _plain(getattr(bundle, "metadata", {})),
    }


def _plain(value: Any) -> Any:
    """What of a registry's answer can be JSON: mappings, lists, numbers and texts; a missing number is null."""
    if hasattr(value, "to_dict"):
        return _plain(value.to_dict())
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, (str, int, float, bool)) or value is None else str(value)
