"""The layouts that candle files come in are recognised, and read to the same candles."""

from __future__ import annotations

import gzip
from datetime import datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest

from btcfs.errors import ConfigError
from btcfs.sources import CandleRequest
from btcfs_sources import open_csv, open_parquet, tables
from candle_files import (
    DAY,
    DOWNLOAD,
    KLINES,
    KLINES_HEADER,
    KLINES_MICROS,
    PRICES,
    ROWS,
    T0,
    UTC,
    YAHOO,
    generic,
    read,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "candles.csv"


@pytest.mark.parametrize(
    ("text", "layout", "quote"),
    [
        (DOWNLOAD, "CryptoDataDownload", True),
        (DOWNLOAD.split("\n", 1)[1], "CryptoDataDownload", True),
        (KLINES, "Binance klines", True),
        (KLINES_MICROS, "Binance klines", True),
        (KLINES_HEADER + KLINES, "Binance klines", True),
        (ROWS, "generic", False),
        ("timestamp,open,high,low,close,volume\n" + ROWS, "generic", False),
        (generic(["2024-03-01", "2024-03-02", "2024-03-03"], "Date;Open;High;Low;Close;Volume").replace(",", ";"), "generic", False),
        (generic(["2024-03-01T00:00:00Z", "2024-03-02T02:00:00+02:00", "2024-03-02 19:00:00-0500"]), "generic", False),
        (generic([str(T0), str(T0 + DAY), str(T0 + 2 * DAY)], "TIME,OPEN,HIGH,LOW,CLOSE,VOL"), "generic", False),
        (generic([f"{T0}.0", f"{T0 + DAY}.0", f"{T0 + 2 * DAY}.0"]), "generic", False),
        (generic([f"{T0 + DAY * n}000000000" for n in range(3)]), "generic", False),
    ],
)  # fmt: skip
def test_a_layout_is_recognised(path: Path, text: str, layout: str, quote: bool) -> None:
    """Each common layout gives the same three days, oldest first, in UTC, with the base volume in ``volume``."""
    frame, report = read(path, text)

    assert report.layout == layout
    assert frame["timestamp"].tolist() == [datetime(2024, 3, day, tzinfo=UTC) for day in (1, 2, 3)]
    assert frame[["open", "high", "low", "close"]].to_numpy().tolist() == [[100.0, 110.0, 90.0, 105.0]] * 3
    assert frame["volume"].tolist() == [1.0, 2.0, 3.0]
    assert ("quote_volume" in frame) == quote


def test_yahoo_states_volume_in_the_quote_currency(path: Path) -> None:
    """Yahoo's volume is quote volume, so the base volume is it over the close; the report says so, an option differs."""
    frame, report = read(path, YAHOO)
    base, _ = read(path, YAHOO, volume="base")

    assert report.layout == "Yahoo"
    assert frame["quote_volume"].tolist() == [2100.0, 4200.0, 6300.0]
    assert frame["volume"].tolist() == [20.0, 40.0, 60.0]
    assert "quote currency" in report.notes[0]
    assert base["volume"].tolist() == [2100.0, 4200.0, 6300.0]


def test_volumes_are_told_apart_by_the_symbol(path: Path) -> None:
    """Which of CryptoDataDownload's two volumes is the base follows from the symbol, not from their order."""
    text = DOWNLOAD.replace("Volume BTC,Volume USD", "Volume USDT,Volume ETH").replace("BTC/USD", "ETHUSDT")

    frame, _ = read(path, text, symbol="ETH-USDT")

    assert frame["volume"].tolist() == [100.0, 200.0, 300.0]
    assert frame["quote_volume"].tolist() == [1.0, 2.0, 3.0]


def test_seconds_and_milliseconds_may_be_mixed(path: Path) -> None:
    """Each time is read by its own size, for CryptoDataDownload changed from seconds to milliseconds within files."""
    frame, _ = read(path, DOWNLOAD.replace(f"\n{T0 + DAY},", f"\n{(T0 + DAY) * 1000},"))

    assert frame["timestamp"].diff().dropna().unique().tolist() == [timedelta(days=1)]


def test_compressed_and_marked_files(path: Path) -> None:
    """gzip is recognised by content, and a byte-order mark and Windows line ends do not matter."""
    plain, _ = read(path, DOWNLOAD)
    path.write_bytes(gzip.compress(("\ufeff" + DOWNLOAD.replace("\n", "\r\n")).encode()))

    fetched = open_csv(str(path), last="keep").fetch(CandleRequest("BTC-USD", "1d"))

    pd.testing.assert_frame_equal(pd.concat(list(fetched.frames), ignore_index=True), plain)


@pytest.mark.parametrize("kind", ["zoned", "seconds", "text", "dates"])
def test_parquet_has_the_same_layouts(tmp_path: Path, kind: str) -> None:
    """A Parquet file is read by the names of its columns, whatever type its times have."""
    days = pd.date_range("2024-03-01", periods=3, tz="UTC", unit="us")
    times = {
        "zoned": days.tz_convert("America/New_York"),
        "seconds": [T0 + DAY * number for number in range(3)],
        "text": [day.isoformat() for day in days],
        "dates": [day.date() for day in days],
    }[kind]
    path = tmp_path / "candles.parquet"
    pd.DataFrame({"Time": times, "Open": 100, "High": 110, "Low": 90, "Close": 105, "Volume": 1.5}).to_parquet(path)

    fetched = open_parquet(str(path), last="keep").fetch(CandleRequest("BTC-USD", "1d"))

    frame = pd.concat(list(fetched.frames))
    assert frame["timestamp"].tolist() == days.tolist()
    assert frame["open"].tolist() == [100.0, 100.0, 100.0]


def test_the_newest_candle_of_a_file_is_left_out(path: Path) -> None:
    """Nobody knows whether a file's newest candle was complete, so it is left out, counted and noted, unless told."""
    path.write_text(DOWNLOAD)
    request = CandleRequest("BTC-USD", "1d")

    def times(**options: str) -> tuple[list[int], int]:
        fetched = open_csv(str(path), **options).fetch(request)
        days = [int(t.day) for frame in fetched.frames for t in frame["timestamp"]]
        return days, fetched.report.forming

    assert times() == ([1, 2], 1)
    assert times(last="keep") == ([1, 2, 3], 0)
    assert times(complete_until="2024-03-04") == ([1, 2, 3], 0)
    assert times(complete_until="2024-03-03T23:59:59Z") == ([1, 2], 1)
    assert times(complete_until="2024-03-02T12:00:00Z") == ([1], 2)


def test_the_span_decides_before_the_newest_candle(path: Path) -> None:
    """A newest candle outside the span asked is outside, not forming, and no other is left out in its place."""
    path.write_text(DOWNLOAD)
    fetched = open_csv(str(path)).fetch(CandleRequest("BTC-USD", "1d", end=datetime(2024, 3, 3, tzinfo=UTC)))

    assert [len(frame) for frame in fetched.frames] == [2]
    assert (fetched.report.forming, fetched.report.outside, fetched.report.returned) == (0, 1, 2)


@pytest.mark.parametrize("newest_first", [False, True])
def test_large_files_come_in_frames(path: Path, newest_first: bool) -> None:
    """A file of several blocks comes in several frames, in time order, whichever end it begins with."""
    count = 300_000
    lines = [f"{T0 + 60 * number},{PRICES},{number + 1}\n" for number in range(count)]
    path.write_text("timestamp,open,high,low,close,volume\n" + "".join(lines[::-1] if newest_first else lines))
    assert path.stat().st_size < tables.BLOCK_BYTES
    path.write_text(path.read_text().replace(PRICES, ",".join(f"{price}.{'0' * 12}" for price in (100, 110, 90, 105))))
    assert path.stat().st_size > tables.BLOCK_BYTES

    fetched = open_csv(str(path), last="keep").fetch(CandleRequest("BTC-USD", "1m", last=290_000))
    frames = list(fetched.frames)

    volume = pd.concat(frames)["volume"]
    assert len(frames) > 1
    assert volume.tolist() == list(range(count - 290_000 + 1, count + 1))
    assert (fetched.report.returned, fetched.report.outside) == (290_000, 10_000)
    assert fetched.report.reordered is newest_first


def test_an_unordered_small_file_is_sorted(path: Path) -> None:
    """A file in no order that fits one block is sorted, and the report says so."""
    lines = ROWS.splitlines(keepends=True)

    frame, report = read(path, lines[1] + lines[2] + lines[0])

    assert frame["volume"].tolist() == [1.0, 2.0, 3.0]
    assert report.reordered


def test_missing_cells_are_missing_numbers(path: Path) -> None:
    """An empty or null cell is NaN, for the validator to judge, not text in a number."""
    frame, _ = read(path, generic(["2024-03-01", "2024-03-02", "2024-03-03"]).replace(f"{PRICES},2", "null,110,,105,2"))

    assert frame["open"].isna().tolist() == [False, True, False]
    assert frame["low"].isna().tolist() == [False, True, False]


def test_times_without_a_zone_can_be_given_one(path: Path) -> None:
    """Naive times are read in the zone that the option states."""
    text = generic(["2024-03-01 00:00:00", "2024-03-02 00:00:00"])

    assert read(path, text, timezone="UTC")[0]["timestamp"].iloc[0] == datetime(2024, 3, 1, tzinfo=UTC)
    assert read(path, text, timezone="Europe/Berlin")[0]["timestamp"].iloc[0] == datetime(2024, 2, 29, 23, tzinfo=UTC)
    with pytest.raises(ConfigError, match="Europa/Berlin"):
        read(path, text, timezone="Europa/Berlin")


def test_a_volume_of_zero_can_be_asked_for(path: Path) -> None:
    """A table without volume is read with zeros only if that is said."""
    frame, _ = read(path, "timestamp,open,high,low,close\n2024-03-01,1,1,1,1\n2024-03-02,1,1,1,1\n", volume="none")

    assert frame["volume"].tolist() == [0.0, 0.0]
