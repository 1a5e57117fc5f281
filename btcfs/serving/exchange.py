"""Reading a request's body within bounds, and sending an answer, on bare ASGI."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING

from btcfs.serving.problems import TooLarge, TooSlow

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

JSON_TYPE = (b"content-type", b"application/json")


class ClientGone(Exception):
    """The client closed the connection before its request was complete."""


async def read_body(scope: Scope, receive: Receive, limit: int, seconds: float) -> bytes:
    """The body, at most ``limit`` bytes, arriving within ``seconds``.

    TooLarge as soon as it is known to be; TooSlow when the time is over; ClientGone if nobody waits.
    """
    for name, value in scope["headers"]:
        if name == b"content-length" and (not value.isdigit() or int(value) > limit):
            raise TooLarge(f"the body has {value.decode('latin-1')[:20]} bytes; at most {limit} are read")
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
        return await _received(receive, limit)
    except asyncio.CancelledError:
        if not late:
            raise
        if hasattr(task, "uncancel"):
            task.uncancel()
        raise TooSlow(f"the body did not arrive within {seconds:g} s") from None
    finally:
        timer.cancel()


async def _received(receive: Receive, limit: int) -> bytes:
    message = await receive()
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
        raise TooLarge(f"the body has more than {limit} bytes, which is the most that is read")
    return body if len(parts) == 1 else b"".join(parts)


async def send_answer(
    send: Send, status: int, body: bytes, headers: Iterable[tuple[bytes, bytes]] = (JSON_TYPE,)
) -> None:
    """One whole answer."""
    length = (b"content-length", b"%d" % len(body))
    await send({"type": "http.response.start", "status": status, "headers": [*headers, length]})
    await send({"type": "http.response.body", "body": body})
