"""Every source that comes with btcfs obeys the laws of sources."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pandas as pd
import pytest

from btcfs.sources import CandleRequest, Source
from btcfs.testing.loopback import Exchange, serving
from btcfs.testing.sources import SourceTests, rows
from btcfs_sources import open_csv, open_exchange, open_parquet, open_sample


def market(tests: type[SourceTests]) -> pd.DataFrame:
    """The sample market's candles from a day before the span that the tests ask for to a day after."""
    day = timedelta(days=1)
    request = CandleRequest(tests.symbol, tests.interval, tests.start - day, tests.end + day, now=tests.end + 2 * day)
    return rows(open_sample().fetch(request))


class TestSample(SourceTests):
    """The synthetic market can make any symbol and interval."""

    unknown_symbol = "NOSUCH"
    unknown_interval = None

    @pytest.fixture
    def source(self) -> Source:
        return open_sample()


class TestCsv(SourceTests):
    """A file with times in text, oldest first."""

    @pytest.fixture
    def source(self, tmp_path: Path) -> Source:
        path = tmp_path / "candles.csv"
        candles = market(type(self)).assign(symbol="BTC/USD")
        candles.assign(timestamp=candles["timestamp"].map(lambda t: t.isoformat())).to_csv(path, index=False)
        return open_csv(str(path), last="keep")


class TestNewestFirstCsv(SourceTests):
    """A file as CryptoDataDownload publishes it, newest first under an address line."""

    @pytest.fixture
    def source(self, tmp_path: Path) -> Source:
        path = tmp_path / "candles.csv.gz"
        candles = market(type(self)).iloc[::-1]
        table = pd.DataFrame(
            {
                "unix": candles["timestamp"].map(lambda t: int(t.timestamp())),
                "date": candles["timestamp"].dt.strftime("%Y-%m-%d %H:%M:%S"),
                "symbol": "BTC/USD",
                **{name: candles[name] for name in ("open", "high", "low", "close")},
                "Volume BTC": candles["volume"],
                "Volume USD": candles["quote_volume"],
            }
        )
        with gzip.open(path, "wt") as file:
            file.write("https://www.CryptoDataDownload.com\n" + table.to_csv(index=False))
        return open_csv(str(path))


class TestParquet(SourceTests):
    """A file with times of their own type."""

    unknown_symbol = None

    @pytest.fixture
    def source(self, tmp_path: Path) -> Source:
        path = tmp_path / "candles.parquet"
        market(type(self)).to_parquet(path, index=False)
        return open_parquet(str(path), last="keep")


class TestExchange(SourceTests):
    """An exchange asked over a real socket by the real ccxt."""

    unknown_interval = "8h"

    @pytest.fixture
    def source(self) -> Iterator[Source]:
        with serving(Exchange(market(type(self)), page=50)) as exchange:
            yield open_exchange("bitstamp", base_url=exchange.url, page=50, backoff=0.01)
