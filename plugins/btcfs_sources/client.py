"""A ccxt exchange behind our errors: opened by name, asked again when the network fails."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from importlib import import_module
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import attrs

from btcfs.errors import AuthError, ConfigError, StoreUnavailable

logger = logging.getLogger(__name__)

_LONGEST_WAIT = 60.0
_NOT_ASKED = object()


@attrs.define
class Client:
    """One exchange. ``ask`` calls one of its methods and counts in ``retries`` how often it asked again."""

    name: str
    exchange: Any
    ccxt: Any
    attempts: int
    backoff: float
    retries: int = 0

    def ask(self, method: Callable[..., Any], *arguments: Any) -> Any:
        """What the method returns. A request that failed on the way is repeated, after ever longer random waits.

        StoreUnavailable after the last attempt or if the exchange refuses; AuthError if it wants a key.
        """
        for attempt in range(1, self.attempts + 1):
            try:
                return self._answer(method, *arguments)
            except self.ccxt.OperationFailed as exc:
                if attempt == self.attempts:
                    raise StoreUnavailable(
                        f"{self.name} did not answer in {attempt} attempts, at last with {type(exc).__name__}: {exc}; "
                        f"try again later or choose another exchange"
                    ) from exc
                self._wait(attempt, exc)
            except self.ccxt.AuthenticationError as exc:
                raise AuthError(f"{self.name} wants a key for candles: {exc}; choose another exchange") from exc
            except self.ccxt.BaseError as exc:
                raise StoreUnavailable(f"{self.name} refused: {type(exc).__name__}: {exc}") from exc
        raise AssertionError("the last attempt returns or raises")

    def _answer(self, method: Callable[..., Any], *arguments: Any) -> Any:
        self.exchange.last_json_response = _NOT_ASKED
        answer = method(*arguments)
        # ccxt takes a body that is no JSON, such as a maintenance page with status 200, for an empty answer.
        if self.exchange.last_json_response is None:
            raise self.ccxt.BadResponse(f"{self.name} answered something that is not JSON")
        return answer

    def _wait(self, attempt: int, exc: Exception) -> None:
        self.retries += 1
        wait = random.uniform(0.5, 1.0) * min(self.backoff * 2 ** (attempt - 1), _LONGEST_WAIT)
        wait = max(wait, self._told_to_wait() if isinstance(exc, self.ccxt.RateLimitExceeded) else 0.0)
        logger.warning("%s: %s; asking again in %.1f s", self.name, exc, wait)
        time.sleep(wait)

    def _told_to_wait(self) -> float:
        headers = self.exchange.last_response_headers or {}
        told = str(headers.get("Retry-After", ""))
        return min(float(told), _LONGEST_WAIT) if told.isdigit() else 0.0


def open_client(name: str, base_url: str | None, attempts: int, backoff: float, timeout: float) -> Client:
    """The exchange of that name in ccxt, its requests sent to ``base_url`` if given.

    ConfigError if ccxt is not installed, does not know the exchange, or knows no candles of it.
    """
    try:
        ccxt = import_module("ccxt")
    except ModuleNotFoundError as exc:
        raise ConfigError("candles from exchanges need ccxt: pip install 'btcfs[exchange]'") from exc
    if name not in ccxt.exchanges:
        raise ConfigError(f"ccxt knows no exchange {name!r}{near(name, ccxt.exchanges)}")
    exchange = getattr(ccxt, name)({"enableRateLimit": True, "timeout": round(timeout * 1000)})
    exchange.enableLastJsonResponse = True
    if not exchange.has.get("fetchOHLCV"):
        raise ConfigError(f"exchange {name!r} does not publish candles; choose another")
    if base_url is not None:
        exchange.urls["api"] = _moved(exchange.urls["api"], base_url)
    return Client(name, exchange, ccxt, attempts, backoff)


def page_limit(client: Client, symbol: str) -> int | None:
    """How many candles the exchange gives at once, as far as ccxt knows."""
    told = getattr(client.exchange, "feature_value", None)  # an older ccxt does not tell
    limit = told(symbol, "fetchOHLCV", "limit") if told is not None else None
    return None if limit is None else int(limit)


def near(name: str, known: Sequence[str]) -> str:
    """The end of a message that names what is spelt alike."""
    matches = get_close_matches(name, known, n=5, cutoff=0.5)
    return f"; near it are {', '.join(matches)}" if matches else ""


def _moved(urls: Any, base_url: str) -> Any:
    """The same addresses, at whatever depth they stand, on the scheme and host of ``base_url``."""
    if isinstance(urls, dict):
        return {name: _moved(url, base_url) for name, url in urls.items()}
    if not isinstance(urls, str):
        return urls
    host = urlsplit(base_url)
    old = urlsplit(urls)
    return urlunsplit((host.scheme, host.netloc, host.path.rstrip("/") + old.path, old.query, old.fragment))
