"""Candles from any exchange that ccxt knows, page by page."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

import attrs
import numpy as np
import pandas as pd

from btcfs.errors import ConfigError, SchemaError
from btcfs.frames import from_micros_array
from btcfs.instants import from_micros, to_micros
from btcfs.pipeline.spacing import Spacing
from btcfs.sources import CandleRequest, Fetched, SourceReport
from btcfs_sources.client import Client, near, open_client, page_limit

Numbers = np.ndarray[Any, np.dtype[np.float64]]

_FRAME_ROWS = 100_000
_NAMES = ("open", "high", "low", "close", "volume")


@attrs.define
class ExchangeSource:
    """The public candles of one exchange.

    ``base_url`` sends the requests to another host, such as a mirror. A request that fails on the
    way is sent up to ``attempts`` times, the first pause being ``backoff`` seconds. ``page`` is how many
    candles are asked for at once; ``timeout`` is in seconds. Exchanges give no quote volume through ccxt.
    """

    exchange: str
    base_url: str | None = None
    attempts: int = 6
    backoff: float = 0.5
    page: int = 1000
    timeout: float = 20.0
    name: str = attrs.field(default="exchange", init=False)
    _client: Client | None = attrs.field(default=None, init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        if self.attempts < 1 or self.page < 1 or self.timeout <= 0 or self.backoff < 0:
            raise ConfigError(
                "an exchange takes attempts and page of at least 1, timeout above 0, backoff of at least 0"
            )

    def fetch(self, request: CandleRequest) -> Fetched:
        """As ``Source.fetch`` says; a ``start`` or ``last`` is needed, for an exchange has no known beginning.

        Frames are kept once they have been fetched: a second walk gives the same candles and asks nobody.
        """
        if request.start is None and request.last is None:
            raise ConfigError("an exchange has no known beginning: ask for a start, or for the last so many candles")
        if self._client is None:
            self._client = open_client(self.exchange, self.base_url, self.attempts, self.backoff, self.timeout)
        client = self._client
        client.retries = 0
        symbol = self._market(client, request)
        page = min(self.page, page_limit(client, symbol) or self.page)
        walk = _Walk(client, request.settled(), symbol, page, SourceReport("exchange", layout=self.exchange))
        return Fetched(walk, walk.report)

    def _market(self, client: Client, request: CandleRequest) -> str:
        markets = client.ask(client.exchange.load_markets)
        symbol = request.symbol.replace("-", "/")
        if symbol not in markets:
            raise ConfigError(f"{self.exchange} has no symbol {request.symbol!r}{near(symbol, sorted(markets))}")
        timeframes = client.exchange.timeframes or {}
        if request.interval not in timeframes:
            raise ConfigError(f"{self.exchange} has no candles of {request.interval}; it has {', '.join(timeframes)}")
        return symbol


@attrs.define(eq=False)
class _Walk:
    """The frames of one request, fetched during the first walk."""

    client: Client
    request: CandleRequest
    symbol: str
    page: int
    report: SourceReport
    _kept: list[pd.DataFrame] | None = None

    def __iter__(self) -> Iterator[pd.DataFrame]:
        if self._kept is not None:
            yield from self._kept
            return
        self.report.restart()
        kept: list[pd.DataFrame] = []
        spacing = Spacing(self.request.step_micros)
        for rows in self._chosen():
            frame = _frame(rows)
            spacing.see(rows[:, 0].astype("int64") * 1000)
            problem = spacing.problem()
            if problem is not None:
                raise SchemaError(f"{self.client.name} {self.symbol}: {problem}; ask for another interval")
            self.report.returned += len(frame)
            kept.append(frame)
            yield frame
        self.report.retries = self.client.retries
        self._kept = kept

    def _chosen(self) -> Iterator[Numbers]:
        """Rows in frames of a good size: of the span asked, or the newest so many."""
        step, stop = self.request.step_micros // 1000, self._stop()
        if self.request.last is None:
            assert self.request.start is not None
            start = -(-to_micros(self.request.start) // 1000)
            yield from self._in_frames(self._pages(start, stop))
            return
        yield from self._in_frames(iter([self._newest(self.request.last, stop, step)]))

    def _newest(self, count: int, stop: int, step: int) -> Numbers:
        """The candles of the newest so many open times before ``stop``, which may be far apart in a thin market."""
        start = stop - (count + 1) * step
        rows = _joined(self._pages(start, stop))
        while (found := len(np.unique(rows[:, 0]))) < count:
            start, later = start - max(count - found, self.page) * step, start
            earlier = _joined(self._pages(start, later))
            if len(earlier) == 0:
                self.report.notes.append(f"{self.client.name} has {found} of the {count} candles asked for")
                return rows
            rows = _joined([earlier, rows])
        first = np.unique(rows[:, 0])[-count]
        self.report.outside += int((rows[:, 0] < first).sum())
        return np.asarray(rows[rows[:, 0] >= first])

    def _stop(self) -> int:
        """The end of the open times to ask for, in milliseconds: the end asked, but not beyond the present."""
        now = _ceiling(self.request.now)
        return now if self.request.end is None else min(now, _ceiling(self.request.end))

    def _pages(self, start: int, stop: int) -> Iterator[Numbers]:
        """The closed candles that open in ``[start, stop)``, in milliseconds, oldest first, one page at a time."""
        step = self.request.step_micros // 1000
        assert self.request.now is not None  # it was settled before the first page
        closed_by = to_micros(self.request.now) // 1000
        cursor, first = start, self.request.last is None
        while cursor < stop:
            method = self.client.exchange.fetch_ohlcv
            answer = self.client.ask(method, self.symbol, self.request.interval, cursor, self.page)
            rows = np.array(answer, dtype="float64").reshape(-1, 6)  # None becomes NaN
            rows = rows[np.argsort(rows[:, 0], kind="stable")]
            rows = rows[rows[:, 0] >= cursor]  # what pages have in common
            if len(rows) == 0:
                cursor += self.page * step
                continue
            if first and rows[0, 0] >= cursor + step:
                self._note_late_start(int(rows[0, 0]))
            first = False
            cursor = int(rows[-1, 0]) + step
            inside = rows[:, 0] < stop
            forming = inside & (rows[:, 0] + step > closed_by)
            self.report.outside += int((~inside).sum())
            self.report.forming += int(forming.sum())
            if (inside & ~forming).any():
                yield rows[inside & ~forming]

    def _note_late_start(self, first: int) -> None:
        opened = from_micros(first * 1000).isoformat()
        self.report.notes.append(f"the first candle that {self.client.name} gives of the span asked opened {opened}")

    def _in_frames(self, pages: Iterator[Numbers]) -> Iterator[Numbers]:
        waiting: list[Numbers] = []
        for page in pages:
            waiting.append(page)
            if sum(map(len, waiting)) >= _FRAME_ROWS:
                yield _joined(waiting)
                waiting = []
        if any(map(len, waiting)):
            yield _joined(waiting)


def _joined(pages: Iterable[Numbers]) -> Numbers:
    return np.concatenate([np.zeros((0, 6)), *pages])


def _frame(rows: Numbers) -> pd.DataFrame:
    times = from_micros_array(rows[:, 0].astype("int64") * 1000)
    columns = {name: np.ascontiguousarray(rows[:, position]) for position, name in enumerate(_NAMES, 1)}
    return pd.DataFrame({"timestamp": times, **columns})


def _ceiling(instant: datetime | None) -> int:
    assert instant is not None
    return -(-to_micros(instant) // 1000)
