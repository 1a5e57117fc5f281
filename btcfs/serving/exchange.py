"""Reading a request's body within bounds, and sending an answer, on bare ASGI."""

from __future__ import annotations

import asyncio
import types
from collections.abc import Generator, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from btcfs.serving.problems import TooLarge, TooSlow

if TYPE_CHECKING:
    from starlette.types import Message, Receive, Scope, Send

JSON_TYPE = (b"content-type", b"application/json")


class ClientGone(Exception):
    """The client closed the connection before its request was complete."""


async def read_body(scope: Scope, receive: Receive, limit: int, seconds: float) -> bytes:
    """The body, at most ``limit`` bytes, arriving within ``seconds``.

    TooLarge as soon as it is known to be; TooSlow when the time is over; ClientGone if nobody waits.
    """
    # Nearly always the whole body is there already, and then there is nothing to put a bound of time on.
    arriving: Any = receive()
    if not isinstance(arriving, types.CoroutineType):
        _check_length(scope, limit)
        return await _in_time(arriving, [], receive, limit, seconds)
    try:
        awaited = arriving.send(None)
    except StopIteration as done:
        message = done.value
        if message.get("more_body", False) or message["type"] == "http.disconnect":
            _check_length(scope, limit)
            return await _in_time(None, [message], receive, limit, seconds)
        body: bytes = message.get("body", b"")
        if len(body) > limit:
            raise _too_large(limit) from None
        return body
    try:
        _check_length(scope, limit)
    except TooLarge:
        arriving.close()
        raise
    return await _in_time(_continued(arriving, awaited), [], receive, limit, seconds)


def _check_length(scope: Scope, limit: int) -> None:
    for name, value in scope["headers"]:
        if name == b"content-length" and (not value.isdigit() or int(value) > limit):
            raise TooLarge(f"the body has {value.decode('latin-1')[:20]} bytes; at most {limit} are read")


async def _in_time(first: Any, had: Sequence[Message], receive: Receive, limit: int, seconds: float) -> bytes:
    """The body of which these messages came, and then, within so many seconds, ``first`` and all the others."""
    task = asyncio.current_task()
    assert task is not None
    late = False

    def expire() -> None:
        nonlocal late
        late = True
        task.cancel()

    # A bare timer: wait_for would start a task for each request.
    timer = asyncio.get_running_loop().call_later(seconds, expire)
    try:
        return await _received(had[0] if had else await first, receive, limit)
    except asyncio.CancelledError:
        if not late:
            raise
        if hasattr(task, "uncancel"):
            task.uncancel()
        raise TooSlow(f"the body did not arrive within {seconds:g} s") from None
    finally:
        timer.cancel()


async def _received(message: Message, receive: Receive, limit: int) -> bytes:
    if message["type"] == "http.disconnect":
        raise ClientGone
    body: bytes = message.get("body", b"")
    parts, size = [body], len(body)
    while message.get("more_body", False):
        if size > limit:
            break
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        parts.append(message.get("body", b""))
        size += len(parts[-1])
    if size > limit:
        raise _too_large(limit)
    return body if len(parts) == 1 else b"".join(parts)


@types.coroutine
def _continued(begun: Any, awaited: Any) -> Generator[Any, Any, Any]:
    """The result of a coroutine that was started by hand and waits for ``awaited``."""
    while True:
        try:
            given = yield awaited
        except BaseException as exc:  # noqa: BLE001 - passed on: a cancellation is the coroutine's to handle
            step = begun.throw, exc
        else:
            step = begun.send, given
        try:
            awaited = step[0](step[1])
        except StopIteration as done:
            return done.value


def _too_large(limit: int) -> TooLarge:
    return TooLarge(f"the body has more than {limit} bytes, which is the most that is read")


async def send_answer(
    send: Send, status: int, body: bytes, headers: Iterable[tuple[bytes, bytes]] = (JSON_TYPE,)
) -> None:
    """One whole answer."""
    length = (b"content-length", b"%d" % len(body))
    await send({"type": "http.response.start", "status": status, "headers": [*headers, length]})
    await send({"type": "http.response.body", "body": body})
