"""The layouts that candle files come in are recognised, and what is not candles is refused with a way out."""

from __future__ import annotations

import gzip
from datetime import datetime, timedelta, timezone
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from btcfs.errors import BtcfsError, ConfigError, SchemaError
from btcfs.sources import CandleRequest, SourceReport
from btcfs_sources import open_csv, open_parquet, tables

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


DATES = ["2024-03-01", "2024-03-02", "2024-03-03"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "empty"),
        ("https://www.CryptoDataDownload.com\n", "empty"),
        ("timestamp,open,high,low,close,volume\n", "no candle"),
        ("timestamp,open,high,low,volume\n2024-03-01,1,1,1,1\n", "no column for close"),
        ("a,b,c\n1,2,3\n", "no column for timestamp, open, high, low, close, volume"),
        ("1,2,3\n4,5,6\n", "no header and 3 columns"),
        ("timestamp,open,high,low,close\n2024-03-01,1,1,1,1\n", "volume='none'"),
        ("timestamp,open,Open,high,low,close,volume\n2024-03-01,1,1,1,1,1,1\n", "two columns that could be open"),
        (generic(DATES).replace(f"{PRICES},2", "100,abc,90,105,2"), "line 3: column 'high' holds 'abc'"),
        (generic(["2024-03-01", "", "2024-03-03"]), "line 3"),
        (generic(["2024-03-01", "yesterday", "2024-03-03"]), "line"),
        (generic(["2024-03-01 00:00:00", "2024-03-02 00:00:00"]), "timezone='UTC'"),
        (generic(["2024-03-01T00:00:00Z", "2024-03-02T00:00:00"]), "line 3.*lacks the zone"),
        (generic(["03/01/2024", "03/02/2024"]), "line 2.*03/01/2024"),
        (generic([*DATES, "2024-03-04"]).replace(f"{PRICES},4", PRICES), "cut off or damaged"),
        (DOWNLOAD.replace("BTC/USD", "ETH/USD"), "'ETH/USD', expected 'BTC-USD'"),
        (DOWNLOAD.replace("Volume BTC,Volume USD", "Volume ETH,Volume EUR"), "named for the currencies of BTC-USD"),
    ],
)
def test_what_is_not_candles_is_refused(path: Path, text: str, message: str) -> None:
    """Each kind of unusable file is a SchemaError that names the file and the place, and says what was expected."""
    with pytest.raises(SchemaError, match=rf"(?s)candles\.csv.*{message}"):
        read(path, text)


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


def test_another_interval_is_refused_with_both_named(path: Path) -> None:
    """Days that are asked for as hours, or that go on as hours, are a SchemaError naming both intervals."""
    with pytest.raises(SchemaError, match=r"1d apart, expected 1h"):
        read(path, DOWNLOAD, interval="1h")
    days = [T0 + DAY * number for number in range(12)]
    hours = [days[-1] + 3600 * number for number in range(1, 8)]
    with pytest.raises(SchemaError, match=r"mixed intervals.*1d.*1h"):
        read(path, generic([str(time) for time in days + hours]))


@pytest.mark.parametrize("damage", ["cut early", "cut late", "noise"])
def test_a_damaged_gzip_file_is_refused(path: Path, damage: str) -> None:
    """A compressed file that was cut off or is no gzip at all is a SchemaError, not a short history."""
    rows = "".join(f"{T0 + 60 * n},{PRICES},{n * 7919 % 1000}\n" for n in range(20_000))
    whole = gzip.compress(("timestamp,open,high,low,close,volume\n" + rows).encode())
    damaged = {"cut early": whole[:100], "cut late": whole[:-100], "noise": b"\x1f\x8b" + b"noise" * 50}
    path.write_bytes(damaged[damage])

    with pytest.raises(SchemaError, match="damaged"):
        list(open_csv(str(path)).fetch(CandleRequest("BTC-USD", "1m")).frames)


def test_a_csv_is_no_parquet_file(path: Path) -> None:
    """A file of another kind is a SchemaError that names it."""
    path.write_text(DOWNLOAD)

    with pytest.raises(SchemaError, match=r"candles\.csv"):
        open_parquet(str(path)).fetch(CandleRequest("BTC-USD", "1d"))


@pytest.mark.parametrize("where", ["nowhere.csv", "."])
def test_no_such_file(tmp_path: Path, where: str) -> None:
    """A path that is no file is a wrong setting, and the message has the path."""
    with pytest.raises(ConfigError, match="give the path of a csv file"):
        open_csv(str(tmp_path / where)).fetch(CandleRequest("BTC-USD", "1d"))


def test_wrong_options_are_refused(path: Path) -> None:
    """An option with a value that means nothing is a ConfigError that names those that do."""
    with pytest.raises(ConfigError, match="'drop' nor 'keep'"):
        open_csv(str(path), last="5")
    with pytest.raises(ConfigError, match="'base', 'quote' or 'none'"):
        open_csv(str(path), volume="BTC")


def test_a_file_that_changes_between_two_walks(path: Path) -> None:
    """What was validated is what is read again: a file that was written meanwhile is refused."""
    path.write_text(DOWNLOAD)
    fetched = open_csv(str(path)).fetch(CandleRequest("BTC-USD", "1d"))
    list(fetched.frames)
    path.write_text(DOWNLOAD.replace("105", "106.5"))

    with pytest.raises(SchemaError, match="has changed"):
        list(fetched.frames)


edits = st.lists(
    st.tuples(st.floats(0, 1), st.integers(0, 6), st.text('0129,.;-\n"eE :TZnaé\ufeff', max_size=6)), max_size=4
)


@settings(max_examples=150, derandomize=True, deadline=None)
@given(st.sampled_from([YAHOO, DOWNLOAD, KLINES, KLINES_HEADER + KLINES, ROWS]), edits)
def test_no_text_is_too_strange(text: str, changes: list[tuple[float, int, str]]) -> None:
    """A file that was edited at random either gives candles in order or is refused by an error of ours."""
    for place, length, instead in changes:
        at = int(place * len(text))
        text = text[:at] + instead + text[at + length :]
    with TemporaryDirectory() as folder:
        try:
            frame, _ = read(Path(folder) / "candles.csv", text)
        except (BtcfsError, ValueError) as exc:
            assert isinstance(exc, BtcfsError) or "No objects to concatenate" in str(exc)
        else:
            assert frame["timestamp"].is_monotonic_increasing
