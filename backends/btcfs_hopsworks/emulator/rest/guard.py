"""What every request passes on its way in: the call log, the faults of the knobs, and the API key."""

from __future__ import annotations

import asyncio
import time
from collections.abc import MutableMapping
from typing import Any

import attrs
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from btcfs_hopsworks.emulator.call_log import Call
from btcfs_hopsworks.emulator.knobs import Fault
from btcfs_hopsworks.emulator.rest.endpoint import refusal
from btcfs_hopsworks.emulator.rest.server import Server

API = "/hopsworks-api/api"
CODES = {401: 320004, 403: 320002, 429: 120029}
MESSAGES = {
    401: "Could not find API key",
    403: "No valid scope found for this invocation",
    429: "Too many requests",
}


@attrs.define
class Guard:
    """Wraps the API; ``/_emulator`` is outside it."""

    server: Server
    inner: ASGIApp

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith(API):
            await self.inner(scope, receive, send)
            return
        measured = _Measured(send)
        # Parts of paths that are themselves paths arrive escaped, and must stay one part.
        path = scope["raw_path"].decode("ascii").split("?")[0][len(API) :]
        name, began = f"{scope['method']} {path}", time.monotonic()
        try:
            await self._answer(scope, _counting(receive, measured), measured, name)
        finally:
            took = (time.monotonic() - began) * 1000
            self.server.calls.record(
                Call("rest", name, measured.status, took, received=measured.received, sent=measured.sent)
            )

    async def _answer(self, scope: Scope, receive: Receive, send: _Measured, name: str) -> None:
        fault = self.server.knobs.take(f"rest {name}")
        refused = _status(fault) if fault is not None and fault.kind == "status" else self._unauthorised(scope)
        if refused is not None:
            await refused(scope, receive, send)
        elif fault is None:
            await self.inner(scope, receive, send)
        elif fault.kind == "hang":
            await _silence(receive, fault.seconds)
        else:
            await self.inner(scope, receive, _Torn(send, kept=0.5 if fault.kind == "torn" else 0.0))

    def _unauthorised(self, scope: Scope) -> Response | None:
        given = dict(scope["headers"]).get(b"authorization", b"").decode("latin-1")
        if not self.server.knobs.key_expired and given == f"ApiKey {self.server.state.api_key}":
            return None
        return refusal(401, CODES[401], MESSAGES[401], "the API key is missing, wrong or expired")


def _status(fault: Fault) -> Response:
    code = fault.code or CODES.get(fault.status, 120000)
    answer = refusal(fault.status, code, MESSAGES.get(fault.status, "Injected fault"), "injected")
    if fault.status in (429, 503):
        answer.headers["Retry-After"] = "1"
    return answer


async def _silence(receive: Receive, seconds: float) -> None:
    """Says nothing until the client hangs up or the time is over; then the connection is closed."""

    async def gone() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    try:
        await asyncio.wait_for(gone(), seconds)
    except asyncio.TimeoutError:
        return


@attrs.define
class _Measured:
    """A ``send`` that remembers the status and counts bytes."""

    send: Send
    status: int | None = None
    sent: int = 0
    received: int = 0

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
        else:
            self.sent += len(message.get("body", b""))
        await self.send(message)


def _counting(receive: Receive, measured: _Measured) -> Receive:
    async def counted() -> MutableMapping[str, Any]:
        message = await receive()
        measured.received += len(message.get("body", b"") or b"")
        return message

    return counted


@attrs.define
class _Torn:
    """A ``send`` that announces the whole answer and stops in the middle, so the connection breaks."""

    send: _Measured
    kept: float
    _start: Message | None = None
    _body: bytes = b""

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._start = message
            return
        self._body += message.get("body", b"")
        if message.get("more_body") or self._start is None:
            return
        length = str(max(len(self._body), 2)).encode()
        others = [(k, v) for k, v in self._start["headers"] if k.lower() != b"content-length"]
        await self.send({**self._start, "headers": [*others, (b"content-length", length)]})
        part = self._body[: int(len(self._body) * self.kept)]
        await self.send({"type": "http.response.body", "body": part, "more_body": True})
