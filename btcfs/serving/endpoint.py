"""The one route that has to be fast: a prediction, on bare ASGI."""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING

from btcfs.errors import BtcfsError
from btcfs.serving.bodies import decode_request, encode
from btcfs.serving.draining import drain
from btcfs.serving.exchange import ClientGone, read_body, send_answer
from btcfs.serving.predictor import Question, answer, asked, computation, stored
from btcfs.serving.problems import TooLarge, encoded, headers_of, problem_of
from btcfs.serving.service import Service

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from btcfs.online.features import Features
    from btcfs.serving.active import ActiveModel


class PredictEndpoint:
    """``POST /predict``: a lookup in the vector cache or a local store stays on the event loop, anything slower does not."""

    def __init__(self, service: Service, route: str) -> None:
        self._service = service
        self._route = route
        self._options = service.options
        self._count = service.counters

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        began = perf_counter()
        try:
            body = await read_body(scope, receive, self._options.most_bytes, self._options.body_seconds)
            status, content, headers = 200, await self._predicted(body, began), None
        except ClientGone:
            return
        except Exception as exc:  # noqa: BLE001 - whatever it is, it is answered as a problem document and logged
            if isinstance(exc, TooLarge):
                await drain(receive)
            problem = problem_of(exc)
            status, content, headers = problem.status, encoded(problem), headers_of(problem)
        self._count.responses[self._route, status] += 1
        await (send_answer(send, status, content) if headers is None else send_answer(send, status, content, headers))

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
    """The question's features; what may take long is done in a thread."""
    try:
        if model.features.cache.caching:
            return stored(question, model)
        return await service.in_thread(stored, question, model)
    except BtcfsError as exc:
        return await service.in_thread(computation(question, model, exc))
