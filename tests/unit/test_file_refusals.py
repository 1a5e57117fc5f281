"""What is not candles, or not those that were asked for, is refused with a way out."""

from __future__ import annotations

import gzip
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from btcfs.errors import BtcfsError, ConfigError, SchemaError
from btcfs.sources import CandleRequest
from btcfs_sources import open_csv, open_parquet
from candle_files import (
    DAY,
    DOWNLOAD,
    KLINES,
    KLINES_HEADER,
    PRICES,
    ROWS,
    T0,
    YAHOO,
    generic,
    read,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "candles.csv"


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
