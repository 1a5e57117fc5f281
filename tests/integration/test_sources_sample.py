"""The synthetic market: the same whenever it is asked, plausible, and with nothing in it to be predicted."""

from __future__ import annotations

import subprocess
import sys
from datetime import datetime, timedelta, timezone

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from btcfs.definitions import parse_interval
from btcfs.errors import ConfigError, SchemaError
from btcfs.pipeline.validate import check
from btcfs.sources import CandleRequest
from btcfs.testing.sources import rows
from btcfs_sources import open_sample

UTC = timezone.utc
NOW = datetime(2024, 1, 1, tzinfo=UTC)


def sample(interval: str, last: int, seed: int = 7, now: datetime = NOW, symbol: str = "BTC-USD") -> pd.DataFrame:
    return rows(open_sample(seed=seed).fetch(CandleRequest(symbol, interval, last=last, now=now)))


@settings(max_examples=30, derandomize=True, deadline=None)
@given(st.sampled_from(["1m", "1h", "1d", "1w", "7m"]), st.integers(0, 6000), st.integers(1, 300))
def test_any_window_of_the_market_agrees(interval: str, first: int, count: int) -> None:
    """A window cut out of a long request is, bit for bit, what a request for that window gives."""
    step = parse_interval(interval)
    begin = datetime(2016, 2, 1, tzinfo=UTC)
    source = open_sample()

    def fetch(start: datetime, end: datetime) -> pd.DataFrame:
        return rows(source.fetch(CandleRequest("BTC-USD", interval, start, end, now=datetime(2090, 1, 1, tzinfo=UTC))))

    whole = fetch(begin, begin + 6300 * step) if interval != "1w" else fetch(begin, begin + 2000 * step)
    first = min(first, len(whole) - count - 1) if interval == "1w" else first
    start = whole["timestamp"].iloc[first]
    part = fetch(start, start + count * step)

    pd.testing.assert_frame_equal(part, whole[first : first + count].reset_index(drop=True), check_exact=True)


@pytest.mark.parametrize("interval", ["1m", "1h", "1d", "1w"])
def test_the_market_is_valid(interval: str) -> None:
    """Its candles break no rule at all, gaps and unit jumps included, and lie on a tick of one cent."""
    frame = sample(interval, 400 if interval == "1w" else 20_000 if interval != "1d" else 3000)

    report = check(frame, interval, NOW)

    assert report.findings == ()
    prices = frame[["open", "high", "low", "close"]].to_numpy()
    assert np.array_equal(prices, np.round(prices * 100) / 100)
    assert (frame["volume"] > 0).all()


def test_volatility_is_clustered_and_returns_are_not_predictable() -> None:
    """Large moves follow large moves, while the sign of the last says nothing about the next."""
    returns = np.log(sample("1h", 40_000)["close"]).diff().dropna()
    noise = 1 / np.sqrt(len(returns))

    assert all(returns.abs().autocorr(lag) > 10 * noise for lag in (1, 5, 20))
    assert all(abs(np.sign(returns).autocorr(lag)) < 4 * noise for lag in (1, 2, 5, 20))
    assert returns.kurt() > 1


def test_seed_symbol_and_interval_make_the_market() -> None:
    """Another seed or symbol is another market; the same ones are the same in another process."""
    frame = sample("1d", 50)
    script = (
        "from datetime import *; from btcfs_sources import open_sample; from btcfs.sources import CandleRequest\n"
        "r = CandleRequest('BTC-USD', '1d', last=50, now=datetime(2024, 1, 1, tzinfo=timezone.utc))\n"
        "print(*[repr(float(c)) for f in open_sample().fetch(r).frames for c in f['close']])"
    )

    other = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout

    assert frame["close"].tolist() == [float(text) for text in other.split()]
    assert not sample("1d", 50, seed=8)["close"].equals(frame["close"])
    assert not sample("1d", 50, symbol="ETH-USD")["close"].equals(frame["close"])


def test_the_numbers_of_the_market_are_fixed() -> None:
    """The market does not change from one release to the next, for people compare results computed from it."""
    frame = sample("1h", 3)

    assert frame["close"].tolist() == FIXED


FIXED = [50575.93, 50472.5, 50960.03]


def test_the_market_opens_and_has_no_end() -> None:
    """There is nothing before the market opened; and there always is a newest closed candle."""
    source = open_sample(begin="2020-01-01")
    early = source.fetch(CandleRequest("BTC-USD", "1d", end=datetime(2020, 1, 3, tzinfo=UTC), now=NOW))
    late = source.fetch(CandleRequest("BTC-USD", "1d", last=1))

    assert rows(early)["timestamp"].tolist() == [datetime(2020, 1, day, tzinfo=UTC) for day in (1, 2)]
    assert datetime.now(UTC) - rows(late)["timestamp"].iloc[0] < timedelta(days=2)


def test_wrong_options_are_refused() -> None:
    """A seed that is no number, a beginning before the market's clock, and a symbol that is no pair are refused."""
    with pytest.raises(ConfigError, match="seed 'x'"):
        open_sample(seed="x")
    with pytest.raises(ConfigError, match="1960"):
        open_sample(begin="1960-01-01")
    with pytest.raises(ConfigError, match="'BTC'"):
        open_sample().fetch(CandleRequest("BTC", "1d"))


def test_requests_say_what_they_mean() -> None:
    """A request with a naive time, a span that ends before it starts, or both start and last is refused."""
    with pytest.raises(SchemaError, match="no time zone"):
        CandleRequest("BTC-USD", "1d", start=datetime(2024, 1, 1))
    with pytest.raises(ConfigError, match="before it starts"):
        CandleRequest("BTC-USD", "1d", start=NOW, end=NOW - timedelta(days=1))
    with pytest.raises(ConfigError, match="not both"):
        CandleRequest("BTC-USD", "1d", start=NOW, last=5)


def test_importing_the_plugin_imports_nothing_heavy() -> None:
    """Listing the sources loads neither pandas nor ccxt nor pyarrow."""
    script = (
        "import sys, btcfs_sources; btcfs_sources.btcfs_sources()\n"
        "print({'pandas', 'numpy', 'ccxt', 'pyarrow'} & set(sys.modules))"
    )

    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout

    assert shown.strip() == "set()"
