"""An exchange on the loopback interface that answers in Bitstamp's format, and fails when told to."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pandas as pd

MARKETS = [
    {
        "name": f"{base}/{quote}",
        "market_symbol": f"{base}{quote}".lower(),
        "base_currency": base,
        "base_decimals": 8,
        "counter_currency": quote,
        "counter_decimals": 2,
        "url_symbol": f"{base}{quote}".lower(),
        "minimum_order": f"10.00 {quote}",
        "minimum_order_value": "10",
        "trading": "Enabled",
        "market_type": "SPOT",
        "description": f"{base} / {quote}",
    }
    for base, quote in (("BTC", "USD"), ("BTC", "EUR"), ("ETH", "USD"))
]


class Exchange:
    """Candles by open time, the requests seen, and what goes wrong with the next ones.

    ``failures`` are taken one per request for candles: an HTTP status, or ``drop``, ``html`` or
    ``empty``. ``overlap`` makes each page begin so many candles before what was asked.
    """

    def __init__(self, candles: pd.DataFrame, page: int = 1000) -> None:
        self.rows = {int(row.timestamp.timestamp()): row for row in candles.itertuples()}
        self.page = page
        self.overlap = 0
        self.failures: list[int | str] = []
        self.requests: list[dict[str, int]] = []
        self.url = ""

    def candles(self, query: dict[str, list[str]]) -> list[dict[str, str]]:
        asked = {name: int(values[0]) for name, values in query.items()}
        self.requests.append(asked)
        start = asked["start"] - self.overlap * asked["step"]
        count = min(asked.get("limit", self.page), self.page) + self.overlap
        times = range(start - start % -asked["step"], asked["end"] + 1, asked["step"])
        return [_candle(time, self.rows[time]) for time in list(times)[:count] if time in self.rows]


def _candle(time: int, row: object) -> dict[str, str]:
    return {
        "timestamp": str(time),
        **{name: repr(getattr(row, name)) for name in ("open", "high", "low", "close", "volume")},
    }


@contextmanager
def serving(exchange: Exchange) -> Iterator[Exchange]:
    """The exchange, reachable at ``exchange.url`` meanwhile."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(exchange))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    exchange.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield exchange
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _handler(exchange: Exchange) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            url = urlsplit(self.path)
            if "/markets" in url.path or "/trading-pairs-info" in url.path:  # as an older ccxt asks
                self.answer(200, json.dumps(MARKETS))
            elif exchange.failures:
                self.fail(exchange.failures.pop(0), url.path)
            else:
                self.answer(200, _body(url.path, exchange.candles(parse_qs(url.query))))

        def fail(self, failure: int | str, path: str) -> None:
            if failure == "drop":
                self.close_connection = True
                self.connection.close()
            elif failure == "html":
                self.answer(200, "<html>We will be back soon</html>", "text/html")
            elif failure == "empty":
                self.answer(200, _body(path, []))
            else:
                self.answer(int(failure), json.dumps({"reason": "no"}))

        def answer(self, status: int, body: str, kind: str = "application/json") -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: object) -> None:
            return None

    return Handler


def _body(path: str, candles: list[dict[str, str]]) -> str:
    return json.dumps({"data": {"pair": path.rstrip("/").rsplit("/", 1)[-1], "ohlc": candles}})
