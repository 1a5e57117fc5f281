"""From a handler to an HTTP endpoint: the body is read, the handler runs in a thread, its answer becomes JSON."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Awaitable, Callable

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from btcfs_hopsworks.emulator.rest.server import Answer, Call, Handler, Refused, Server

_log = logging.getLogger(__name__)

Endpoint = Callable[[Request], Awaitable[Response]]


def endpoint(server: Server, handler: Handler) -> Endpoint:
    """An endpoint that answers with what the handler returns, or with the error it raises."""

    async def answer(request: Request) -> Response:
        call = Call(
            path=request.path_params,
            query=dict(request.query_params),
            repeated=request.query_params.getlist,
            url=str(request.url),
            body=await request.body(),
            headers=dict(request.headers),
        )
        try:
            return answered(await run_in_threadpool(handler, server, call))
        except Refused as exc:
            return refusal(exc.status, exc.code, exc.message, exc.detail)
        except Exception as exc:  # noqa: BLE001 - the server answers every fault of its own with 500
            _log.exception("%s %s failed", request.method, request.url.path)
            return refusal(500, 120000, "Internal error of the emulator", "".join(traceback.format_exception_only(exc)))

    return answer


def answered(answer: Answer) -> Response:
    """A Response as it is, None as an empty 204, anything else as JSON."""
    if isinstance(answer, Response):
        return answer
    return Response(status_code=204) if answer is None else JSONResponse(answer)


def refusal(status: int, code: int, message: str, detail: str = "") -> Response:
    """An error as the server answers it."""
    body = {"errorCode": code, "errorMsg": message, "usrMsg": detail}
    return JSONResponse(body, status_code=status)
