"""What a route needs before it answers: the running model, the whole body, the parameters of the query; and the answer as JSON."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from btcfs.errors import SchemaError
from btcfs.serving.active import ActiveModel
from btcfs.serving.bodies import encode
from btcfs.serving.draining import drain
from btcfs.serving.exchange import read_body
from btcfs.serving.problems import TooLarge
from btcfs.serving.service import Service

LARGER = 16  # a batch and an activation may be so many times as large as one prediction's body


async def started(service: Service) -> None:
    """Start the service if no lifespan did."""
    if not service.started:
        await service.in_thread(service.start)


async def running(service: Service) -> ActiveModel:
    """The model that answers. StoreUnavailable if there is none."""
    await started(service)
    return service.model


async def whole_body(request: Request, service: Service) -> bytes:
    """The request's body within the service's bounds. Errors as ``read_body`` says."""
    options = service.options
    try:
        return await read_body(request.scope, request.receive, options.most_bytes * LARGER, options.body_seconds)
    except TooLarge:
        await drain(request.receive)
        raise


def parameters(request: Request, *known: str) -> dict[str, str]:
    """The query's parameters. SchemaError for an unknown or a repeated one."""
    pairs = request.query_params.multi_items()
    names = [name for name, _ in pairs]
    for name in names:
        if name not in known:
            raise SchemaError(f"unknown parameter {name[:40]!r}; known are {', '.join(known)}")
        if names.count(name) > 1:
            raise SchemaError(f"parameter {name!r} is given more than once")
    return dict(pairs)


def whole_number(name: str, text: str, most: int) -> int:
    """A parameter from 1 to ``most``. SchemaError for anything else."""
    if not (text.isascii() and text.isdigit() and len(text) < 10 and 1 <= int(text) <= most):
        raise SchemaError(f"{name} is {text[:20]!r}, expected a whole number from 1 to {most:,}")
    return int(text)


def json_answer(content: Any) -> Response:
    """The content as an answer of status 200."""
    return Response(encode(content), media_type="application/json")
