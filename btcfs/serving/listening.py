"""How uvicorn listens for an app: what is loaded, and how long a client may take over the head of a request."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from uvicorn import Config
from uvicorn.protocols.http.auto import AutoHTTPProtocol

if TYPE_CHECKING:
    from starlette.types import ASGIApp

HEAD_SECONDS = 10.0


def listening(app: ASGIApp, host: str, port: int, head_seconds: float = HEAD_SECONDS) -> Config:
    """The settings to serve an app with; a connection whose request line and headers take longer is closed."""
    return Config(
        app,
        host=host,
        port=port,
        log_level="warning",
        access_log=False,
        lifespan="on",
        http=_with_deadline(head_seconds),
    )


def _with_deadline(seconds: float) -> type[asyncio.Protocol]:
    """uvicorn's protocol with a bound that it does not have (0.54): the app sees a request only when its head is whole.

    Reads ``cycle``, ``loop`` and ``transport``, which both of uvicorn's HTTP protocols have.
    """

    # uvicorn decides when it is imported which of its two classes this is.
    class Protocol(AutoHTTPProtocol):  # type: ignore[misc, valid-type]
        _head_timer: asyncio.TimerHandle | None = None

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._head_timer = self.loop.call_later(seconds, self._close_slow)

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            waiting = self.cycle is None or self.cycle.response_complete
            if waiting and self._head_timer is None:
                self._head_timer = self.loop.call_later(seconds, self._close_slow)
            elif not waiting and self._head_timer is not None:
                self._head_timer.cancel()
                self._head_timer = None

        def connection_lost(self, exc: Exception | None) -> None:
            if self._head_timer is not None:
                self._head_timer.cancel()
            super().connection_lost(exc)

        def _close_slow(self) -> None:
            self._head_timer = None
            if self.transport is not None and (self.cycle is None or self.cycle.response_complete):
                self.transport.close()

    return Protocol
