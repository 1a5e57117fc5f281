"""The one route that has to be fast: a prediction, on bare ASGI."""

from __future__ import annotations

from collections.abc import Mapping
from time import perf_counter
from typing import TYPE_CHECKING

from btcfs.errors import BtcfsError
from btcfs.serving.bodies import decode_request, encode
from btcfs.serving.draining import drain
from btcfs.serving.exchange import ClientGone, read_body, send_answer
from btcfs.serving.predictor import Question, answer, asked, check_age, computation, stored
from btcfs.serving.problems import TooLarge, encoded, headers_of, problem_of
from btcfs.serving.service import Service

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

    from btcfs.online.features import Features
    from btcfs.serving.active import ActiveModel


class PredictEndpoint:
    """``POST /predict``: a lookup in the vector cache or a local store stays on the event loop, anything slower does not."""

    def __init__(self, service: Service, route: str) -> None:
        self._service = service
        self._options = service.options
        self._count = service.counters
        self._answered = (route, 200)
        self._route = route

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        began = perf_counter()
        try:
            body = await read_body(scope, receive, self._options.most_bytes, self._options.body_seconds)
            content = await self._predicted(body, began)
        except ClientGone:
            return
        except Exception as exc:  # noqa: BLE001 - whatever it is, it is answered as a problem document and logged
            if isinstance(exc, TooLarge):
                await drain(receive)
            problem = problem_of(exc)
            self._count.responses[self._route, problem.status] += 1
            await send_answer(send, problem.status, encoded(problem), headers_of(problem))
            return
        self._count.responses[self._answered] += 1
        await send_answer(send, 200, content)

    async def _predicted(self, body: bytes, began: float) -> bytes:
        service = self._service
        if not service.started:
            await service.in_thread(service.start)
        model = service.model
        question = asked(decode_request(body), model, self._options.symbol)
        features = await found(service, question, model)
        response, logged = answer(question, model, features, began, service.identifiers.next())
        self._count.predicted(features.source, response.latency_ms)
        if features.fallback_reason is not None:
            self._count.fallbacks += 1
        if service.log is not None:
            service.log.add(logged)
        return encode(response)


async def found(service: Service, question: Question, model: ActiveModel) -> Features:
    """The question's features; what may take long is done in a thread. Stale if they are older than is allowed."""
    try:
        if model.features.cache.caching:
            features = stored(question, model)
        else:
            features = await service.in_thread(stored, question, model)
    except BtcfsError as exc:
        features = await service.in_thread(computation(question, model, exc))
    if service.options.max_age_seconds is not None:
        check_age(question, features, service.options.max_age_seconds)
    return features


class Shortcut:
    """Middleware that gives ``POST`` of these paths to their endpoints, which spares them the table of routes.

    It has to be the innermost one, so that what an app adds around its routes is around these too.
    """

    def __init__(self, app: ASGIApp, endpoints: Mapping[str, ASGIApp]) -> None:
        self._app = app
        self._endpoints = endpoints

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "POST":
            path, mounted_at = scope["path"], scope.get("root_path", "")
            if mounted_at and path.startswith(mounted_at):
                path = path[len(mounted_at) :]
            endpoint = self._endpoints.get(path)
            if endpoint is not None:
                return await endpoint(scope, receive, send)
        return await self._app(scope, receive, send)
