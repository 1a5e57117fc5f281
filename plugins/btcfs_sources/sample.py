"""A seeded synthetic market, the same for whatever span it is asked."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from typing import Any

import attrs
import numpy as np
import pandas as pd

from btcfs.errors import ConfigError
from btcfs.frames import from_micros_array
from btcfs.instants import to_micros
from btcfs.sources import CandleRequest, Fetched, SourceReport
from btcfs_sources.market import LAST_INSTANT, MICROS_PER_DAY, Candles, Market, block_size, candle_block, grid_origin

Ints = np.ndarray[Any, np.dtype[np.int64]]

_SYMBOL = re.compile(r"[A-Z0-9]{2,15}-[A-Z0-9]{2,15}")
_FRAME_ROWS = 1 << 18
_EARLIEST = 365 * MICROS_PER_DAY


@attrs.frozen
class SampleMarket:
    """Candles of a market that never was: unpredictable returns, clustered volatility, a tick of 0.01.

    The candles depend on ``seed``, the symbol and the interval alone; two requests agree wherever
    they overlap. The market opens at ``begin``. Two intervals are two markets: hours are not sums of minutes.
    """

    seed: int = 7
    begin: str = "2015-01-01"
    name: str = attrs.field(default="sample", init=False)

    def __attrs_post_init__(self) -> None:
        if not isinstance(self.seed, int):
            raise ConfigError(f"seed {self.seed!r} of the sample market is not a whole number")
        if not _EARLIEST <= to_micros(self.begin) < LAST_INSTANT:
            raise ConfigError(f"begin {self.begin!r} of the sample market is not between 1971 and 2099")

    def fetch(self, request: CandleRequest) -> Fetched:
        """As ``Source.fetch`` says; ConfigError for a symbol that is not two currencies such as BTC-USD."""
        if _SYMBOL.fullmatch(_dashed(request.symbol)) is None:
            raise ConfigError(
                f"the sample market has no symbol {request.symbol!r}; name two currencies, as in 'BTC-USD'"
            )
        walk = _Walk(self, request.settled(), SourceReport("sample", layout=f"seed {self.seed}"))
        return Fetched(walk, walk.report)

    def market(self, symbol: str, interval: str, step: int) -> Market:
        """The numbers that the candles of one symbol and interval follow from."""
        text = f"{self.seed}/{_dashed(symbol)}/{interval}"
        return Market(int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big"), step)


@attrs.frozen(eq=False)
class _Walk:
    """The frames of one request; each walk through them makes them anew."""

    source: SampleMarket
    request: CandleRequest
    report: SourceReport

    def __iter__(self) -> Iterator[pd.DataFrame]:
        self.report.restart()
        first, stop = self._bars()
        market = self.source.market(self.request.symbol, self.request.interval, self.request.step_micros)
        size = block_size(market.step)
        per_frame = max(1, _FRAME_ROWS // size) * size
        for start in range(first - first % per_frame, stop, per_frame):
            frame = _frame(market, max(first, start), min(stop, start + per_frame))
            self.report.returned += len(frame)
            yield frame

    def _bars(self) -> tuple[int, int]:
        """The first bar wanted and the one after the last, counted from the grid's origin."""
        request, step = self.request, self.request.step_micros
        origin = grid_origin(step)
        assert request.now is not None  # settled
        open_now = (min(to_micros(request.now), LAST_INSTANT) - origin) // step
        opens = -((origin - to_micros(self.source.begin)) // step)
        stop = open_now if request.end is None else min(open_now, -((origin - to_micros(request.end)) // step))
        if request.end is None or to_micros(request.end) > origin + open_now * step:
            self.report.forming = 1
        if request.start is not None:
            opens = max(opens, -((origin - to_micros(request.start)) // step))
        elif request.last is not None:
            opens = max(opens, stop - request.last)
        return opens, max(opens, stop)


def _dashed(symbol: str) -> str:
    return symbol.replace("/", "-")


def _frame(market: Market, first: int, stop: int) -> pd.DataFrame:
    size = block_size(market.step)
    parts: list[Candles] = []
    for block in range(first // size, -(-stop // size)):
        begin = block * size
        parts.append([column[max(0, first - begin) : stop - begin] for column in candle_block(market, block)])
    times: Ints = grid_origin(market.step) + np.arange(first, stop, dtype="int64") * market.step
    columns = [np.concatenate(column) for column in zip(*parts, strict=True)]
    names = ("open", "high", "low", "close", "volume", "quote_volume")
    return pd.DataFrame({"timestamp": from_micros_array(times), **dict(zip(names, columns, strict=True))})
