"""The rest of a body that is too large: some of it is taken in, so that the client sees why."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.types import Receive

MOST_BYTES = 4_194_304
SECONDS = 1.0


async def drain(receive: Receive) -> None:
    """Throw away what is still sent, within bounds: a client answered while it sends may lose the answer to a reset."""

    async def take_in() -> None:
        left = MOST_BYTES
        while left > 0:
            message = await receive()
            left -= len(message.get("body", b""))
            if not message.get("more_body", False):
                return

    with contextlib.suppress(asyncio.TimeoutError):
        await asyncio.wait_for(take_in(), SECONDS)
