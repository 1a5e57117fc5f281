"""The candle sources that come with btcfs: files, exchanges, and a seeded synthetic market."""

from __future__ import annotations

from collections.abc import Sequence

from btcfs.hookspecs import hookimpl
from btcfs.sources import Source, SourceKind


def open_csv(
    path: str,
    timezone: str | None = None,
    complete_until: str | None = None,
    last: str = "drop",
    volume: str | None = None,
) -> Source:
    """A text file of candles, optionally compressed with gzip; the options are those of ``files.FileSource``."""
    from btcfs_sources.files import FileSource

    return FileSource("csv", path, timezone=timezone, complete_until=complete_until, last=last, volume=volume)


def open_parquet(
    path: str,
    timezone: str | None = None,
    complete_until: str | None = None,
    last: str = "drop",
    volume: str | None = None,
) -> Source:
    """A Parquet file of candles; the options are those of ``files.FileSource``."""
    from btcfs_sources.files import FileSource

    return FileSource("parquet", path, timezone=timezone, complete_until=complete_until, last=last, volume=volume)


def open_sample(seed: int = 7, begin: str = "2015-01-01") -> Source:
    """A synthetic market that is the same for the same seed, whenever and for whatever span it is asked."""
    from btcfs_sources.sample import SampleMarket

    return SampleMarket(seed=seed, begin=begin)


def open_exchange(
    exchange: str,
    base_url: str | None = None,
    attempts: int = 6,
    backoff: float = 0.5,
    page: int = 1000,
    timeout: float = 20.0,
) -> Source:
    """Any exchange that ccxt knows; needs the extra ``exchange``. The options are those of ``exchange.ExchangeSource``."""
    from btcfs_sources.exchange import ExchangeSource

    return ExchangeSource(exchange, base_url=base_url, attempts=attempts, backoff=backoff, page=page, timeout=timeout)


@hookimpl
def btcfs_sources() -> Sequence[SourceKind]:
    """The four kinds, none of which is imported before it is opened."""
    return [
        SourceKind(
            "csv", open_csv, "a CSV file: Yahoo, CryptoDataDownload, Binance klines, ccxt rows or any ohlcv table"
        ),
        SourceKind("parquet", open_parquet, "a Parquet file with the columns of any of the CSV layouts"),
        SourceKind("exchange", open_exchange, "an exchange's public candles, through ccxt"),
        SourceKind("sample", open_sample, "a seeded synthetic market with volatility clustering"),
    ]
