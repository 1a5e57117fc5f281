"""The exchange source against a server on the loopback interface, through the real ccxt and real sockets."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone

import pandas as pd
import pytest

from btcfs.errors import ConfigError, SchemaError, StoreUnavailable
from btcfs.pipeline.validate import check
from btcfs.sources import CandleRequest, Source
from btcfs.testing.loopback import Exchange, serving
from btcfs.testing.sources import rows
from btcfs_sources import open_exchange, open_sample

UTC = timezone.utc
START = datetime(2024, 3, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
COUNT = 240
END = START + COUNT * HOUR
NOW = END + HOUR / 2

Open = Callable[..., Source]


@pytest.fixture(scope="module")
def candles() -> pd.DataFrame:
    """Hours of the sample market, among them the one that is forming at ``NOW``."""
    request = CandleRequest("BTC-USD", "1h", START, END + HOUR, now=END + 2 * HOUR)
    return rows(open_sample().fetch(request)).drop(columns="quote_volume")


@pytest.fixture
def exchange(candles: pd.DataFrame) -> Iterator[Exchange]:
    with serving(Exchange(candles, page=50)) as server:
        yield server


def opened(exchange: Exchange, **options: float) -> Source:
    return open_exchange("bitstamp", base_url=exchange.url, **{"page": 50, "backoff": 0.001, **options})


def asked(**changes: object) -> CandleRequest:
    return CandleRequest(**{"symbol": "BTC-USD", "interval": "1h", "start": START, "now": NOW, **changes})


def same(frame: pd.DataFrame, expected: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(frame.reset_index(drop=True), expected.reset_index(drop=True), check_exact=True)


def test_pages_add_up_to_the_whole(exchange: Exchange, candles: pd.DataFrame) -> None:
    """A span longer than a page is fetched page by page, each candle once, without the forming one."""
    fetched = opened(exchange).fetch(asked())

    same(rows(fetched), candles[:-1])
    assert len(exchange.requests) == 5
    assert fetched.report.forming == 1
    assert fetched.report.layout == "bitstamp"


@pytest.mark.parametrize("failures", [[429], [500, 503], ["drop"], ["html"], [429, "drop", 500, "html"]])
def test_failures_on_the_way_are_repeated(exchange: Exchange, candles: pd.DataFrame, failures: list[int | str]) -> None:
    """A refused, broken or dropped answer, or a page that is no JSON, is asked for again and counted; nothing is lost."""
    exchange.failures = list(failures)
    fetched = opened(exchange).fetch(asked())

    same(rows(fetched), candles[:-1])
    assert fetched.report.retries == len(failures)


def test_an_exchange_that_stays_away(exchange: Exchange) -> None:
    """After the last attempt the error names the exchange, the number of attempts and what came back."""
    exchange.failures = [500] * 3

    with pytest.raises(StoreUnavailable, match=r"bitstamp did not answer in 3 attempts.*500"):
        rows(opened(exchange, attempts=3).fetch(asked()))

    assert exchange.failures == []


def test_nobody_listens() -> None:
    """A host that does not answer at all is StoreUnavailable too."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"

        with pytest.raises(StoreUnavailable, match="bitstamp did not answer in 2 attempts"):
            open_exchange("bitstamp", base_url=url, attempts=2, backoff=0.001).fetch(asked())


def test_pages_that_overlap(exchange: Exchange, candles: pd.DataFrame) -> None:
    """Candles that a page has in common with the one before are given once."""
    exchange.overlap = 3

    same(rows(opened(exchange).fetch(asked())), candles[:-1])


def test_a_page_without_candles(exchange: Exchange, candles: pd.DataFrame) -> None:
    """An outage longer than a page is skipped, and what comes after it is fetched; validation then tells the gap."""
    for hour in range(40, 160):
        del exchange.rows[int((START + hour * HOUR).timestamp())]

    frame = rows(opened(exchange).fetch(asked()))

    same(frame, candles.drop(index=range(40, 160))[:-1])
    gap = check(frame, "1h", NOW).finding("gap")
    assert gap is not None
    assert gap.count == 120


def test_the_last_candles_reach_over_a_gap(exchange: Exchange, candles: pd.DataFrame) -> None:
    """last=N gives N candles also where some are missing among the newest."""
    for hour in range(200, 230):
        del exchange.rows[int((START + hour * HOUR).timestamp())]

    frame = rows(opened(exchange).fetch(asked(start=None, last=60)))

    same(frame, candles.drop(index=range(200, 230))[:-1].tail(60))


def test_fewer_candles_than_asked(exchange: Exchange, candles: pd.DataFrame) -> None:
    """An exchange that does not go back so far gives what it has, and the report says how much that is."""
    fetched = opened(exchange).fetch(asked(start=None, last=1000))

    same(rows(fetched), candles[:-1])
    assert f"bitstamp has {COUNT} of the 1000 candles asked for" in fetched.report.notes


def test_a_late_beginning_is_noted(exchange: Exchange) -> None:
    """A span that begins before the exchange's first candle is answered from there on, with a note."""
    fetched = opened(exchange).fetch(asked(start=START - 30 * HOUR))

    assert len(rows(fetched)) == COUNT
    assert "2024-03-01T00:00:00+00:00" in fetched.report.notes[0]


def test_a_second_walk_asks_nobody(exchange: Exchange) -> None:
    """Validating and then committing sees the same candles, for they are fetched once."""
    fetched = opened(exchange).fetch(asked())
    first = rows(fetched)
    requests = len(exchange.requests)

    same(rows(fetched), first)
    assert len(exchange.requests) == requests


def test_one_source_for_several_requests(exchange: Exchange, candles: pd.DataFrame) -> None:
    """A source can be asked again, and what went wrong for one request is not counted for the next."""
    source = opened(exchange)
    exchange.failures = [500]
    first = source.fetch(asked(end=START + 10 * HOUR))
    rows(first)
    second = source.fetch(asked(start=START + 10 * HOUR))

    same(rows(second), candles[10:-1])
    assert (first.report.retries, second.report.retries) == (1, 0)


def test_names_that_the_exchange_does_not_know(exchange: Exchange) -> None:
    """A misspelt exchange, symbol or interval is a ConfigError that names what is near."""
    with pytest.raises(ConfigError, match=r"'bitstmp'.*bitstamp"):
        open_exchange("bitstmp").fetch(asked())
    with pytest.raises(ConfigError, match=r"'BTC-USDX'.*BTC/USD"):
        opened(exchange).fetch(asked(symbol="BTC-USDX"))
    with pytest.raises(ConfigError, match=r"no candles of 8h; it has 1m,.*1d"):
        opened(exchange).fetch(asked(interval="8h"))
    with pytest.raises(ConfigError, match="ask for a start"):
        opened(exchange).fetch(asked(start=None))


def test_an_exchange_that_means_another_interval(exchange: Exchange) -> None:
    """Candles of another length than asked are refused: ccxt sends Bitstamp's three days for a week."""
    three_days = pd.date_range(START - timedelta(days=91), periods=30, freq="3D")
    row = next(iter(exchange.rows.values()))
    exchange.rows = {int(time.timestamp()): row for time in three_days}

    with pytest.raises(SchemaError, match="3d apart, expected 1w"):
        rows(opened(exchange).fetch(asked(interval="1w", start=START - timedelta(days=91))))


def test_without_ccxt() -> None:
    """Without ccxt the error says how to install it."""
    script = (
        "import sys; sys.modules['ccxt'] = None\n"
        "from btcfs_sources import open_exchange; from btcfs.sources import CandleRequest\n"
        "open_exchange('kraken').fetch(CandleRequest('BTC-USD', '1d', last=3))"
    )

    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)

    assert "ConfigError: candles from exchanges need ccxt: pip install 'btcfs[exchange]'" in run.stderr
