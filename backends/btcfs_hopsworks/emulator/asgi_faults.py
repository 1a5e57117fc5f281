"""Faults and the call log of an HTTP server, around its application: nothing in it has to know of them."""

from __future__ import annotations

import asyncio
import json
import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from btcfs_hopsworks.emulator.call_log import Call, CallLog
from btcfs_hopsworks.emulator.knobs import Fault, Knobs


class Faulty:
    """An ASGI application whose calls are logged, and go wrong where the knobs say so.

    A call is named ``<plane> <method> <path>``. It must be the outermost application, as it cuts connections.
    """

    def __init__(self, application: ASGIApp, plane: str, knobs: Knobs, calls: CallLog) -> None:
        self._application, self._plane, self._knobs, self._calls = application, plane, knobs, calls

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._application(scope, receive, send)
            return
        call = f"{scope['method']} {scope['path']}"
        counted = _Counted(receive, send)
        begun = time.perf_counter()
        fault = self._knobs.take(f"{self._plane} {call}")
        try:
            if fault is None:
                await self._application(scope, counted.receive, counted.send)
            elif fault.kind == "torn":
                await _torn(self._application, scope, counted)
            else:
                await _suffer(fault, counted)
        finally:
            took = (time.perf_counter() - begun) * 1000
            self._calls.record(Call(self._plane, call, counted.status, took, counted.received, counted.sent))


class _Counted:
    """The two ends of a call, with what went through them."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive, self._send = receive, send
        self.status: int | None = None
        self.received = self.sent = 0

    async def receive(self) -> Message:
        message = await self._receive()
        self.received += len(message.get("body", b""))
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
        self.sent += len(message.get("body", b""))
        await self._send(message)

    def cut(self) -> None:
        # ASGI cannot close a connection without an answer; uvicorn's send belongs to an object that can.
        cycle = getattr(self._send, "__self__", None)
        if cycle is None:
            raise RuntimeError("connections can be cut only directly below uvicorn")
        cycle.transport.abort()


async def _suffer(fault: Fault, call: _Counted) -> None:
    if fault.kind == "hang":
        await asyncio.sleep(fault.seconds)
    if fault.kind != "status":
        call.cut()
        return
    body = json.dumps({"errorCode": fault.code, "errorMsg": "the emulator was told to fail this call", "usrMsg": ""})
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if fault.status == 429:
        headers.append((b"retry-after", b"1"))
    await call.send({"type": "http.response.start", "status": fault.status, "headers": headers})
    await call.send({"type": "http.response.body", "body": body.encode()})


async def _torn(application: ASGIApp, scope: Scope, call: _Counted) -> None:
    """The headers of the answer and half of its body, and then the end of the connection."""
    answer: list[Message] = []

    async def keep(message: Message) -> None:
        answer.append(message)

    await application(scope, call.receive, keep)
    body = b"".join(message.get("body", b"") for message in answer)
    await call.send(answer[0])
    await call.send({"type": "http.response.body", "body": body[: len(body) // 2], "more_body": True})
    # Long enough for the half to leave before the connection goes.
    await asyncio.sleep(0.05)
    call.cut()
