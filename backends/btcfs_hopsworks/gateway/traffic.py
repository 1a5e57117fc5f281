"""Counts and bounds what goes over REST: one adapter under the client's requests session."""

from __future__ import annotations

from typing import Any, Protocol

from requests.adapters import HTTPAdapter

CONNECT_SECONDS = 10.0


class Meter(Protocol):
    """What counts calls and bytes against a budget."""

    def record(self, calls: int, sent: int = 0, received: int = 0) -> None: ...

    def check(self, essential: bool = True) -> None: ...

    def close(self) -> None: ...


class Metered(HTTPAdapter):
    """Sends as ever, with a time limit where the client sets none, and records each call in the meters."""

    def __init__(self, meters: tuple[Meter, ...], seconds: float) -> None:
        self._meters = meters
        self._seconds = seconds
        super().__init__(pool_connections=4, pool_maxsize=16)

    def send(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        if kwargs.get("timeout") is None:
            kwargs["timeout"] = (min(CONNECT_SECONDS, self._seconds), self._seconds)
        body = request.body
        sent = len(body) if isinstance(body, (bytes, str)) else 0
        received = 0
        try:
            response = super().send(request, *args, **kwargs)
            received = int(response.headers.get("Content-Length") or 0)
            return response
        finally:
            for meter in self._meters:
                meter.record(1, sent, received)
