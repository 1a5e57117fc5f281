"""Candle files as their publishers lay them out, and what is read from a text."""

from __future__ import annotations

from datetime import timezone
from pathlib import Path

import pandas as pd

from btcfs.sources import CandleRequest, SourceReport
from btcfs_sources import open_csv

UTC = timezone.utc


DAY = 86_400


T0 = 1_709_251_200  # 2024-03-01 00:00 UTC


PRICES = "100,110,90,105"


YAHOO = "Date,Open,High,Low,Close,Adj Close,Volume\n" + "".join(
    f"2024-03-0{day},{PRICES},105,{2100 * day}\n" for day in (1, 2, 3)
)


DOWNLOAD = "https://www.CryptoDataDownload.com\nunix,date,symbol,open,high,low,close,Volume BTC,Volume USD\n" + "".join(
    f"{T0 + DAY * (day - 1)},2024-03-0{day} 00:00:00,BTC/USD,{PRICES},{day},{day * 100}\n" for day in (3, 2, 1)
)


KLINES = "".join(
    f"{(T0 + DAY * (day - 1)) * 1000},{PRICES},{day},{(T0 + DAY * day) * 1000 - 1},{day * 100},7,1,50,0\n"
    for day in (1, 2, 3)
)


KLINES_MICROS = "".join(
    f"{(T0 + DAY * (day - 1)) * 1_000_000},{PRICES},{day},{(T0 + DAY * day) * 1_000_000 - 1},{day * 100},7,1,50,0\n"
    for day in (1, 2, 3)
)


KLINES_HEADER = "open_time,open,high,low,close,volume,close_time,quote_volume,count,taker_buy_volume,taker_buy_quote_volume,ignore\n"


ROWS = "".join(f"{(T0 + DAY * (day - 1)) * 1000},{PRICES},{day}\n" for day in (1, 2, 3))


def generic(times: list[str], header: str = "timestamp,open,high,low,close,volume") -> str:
    return header + "\n" + "".join(f"{time},{PRICES},{number}\n" for number, time in enumerate(times, 1))


def read(
    path: Path, text: str, symbol: str = "BTC-USD", interval: str = "1d", **options: str
) -> tuple[pd.DataFrame, SourceReport]:
    """All candles of a file with that text, its newest one included."""
    path.write_text(text)
    fetched = open_csv(str(path), **{"last": "keep", **options}).fetch(CandleRequest(symbol, interval))
    return pd.concat(list(fetched.frames), ignore_index=True), fetched.report
