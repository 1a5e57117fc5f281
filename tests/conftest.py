"""What tests share: the real candles if they are there, and a source that gives a frame's candles."""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import attrs
import pandas as pd
import pytest

from btcfs.definitions import parse_interval
from btcfs.instants import to_micros
from btcfs.sources import CandleRequest, Fetched, SourceReport

# Named by tests as plugins for their fixtures, and imported by them for the rest.
pytest.register_assert_rewrite(
    "btcfs_hopsworks.testing", "bundles", "emulated", "hopsworks_api", "mirrored", "predicting", "repositories"
)

COLUMNS = ["timestamp", "open", "high", "low", "close", "volume"]


@attrs.define
class FrameSource:
    """The candles of a frame as a source; ``frame`` may be exchanged between fetches."""

    frame: pd.DataFrame
    name: str = "frame"

    def fetch(self, request: CandleRequest) -> Fetched:
        frame = self.frame
        assert request.now is not None
        closed = frame["timestamp"] + parse_interval(request.interval) <= request.now
        kept = frame[closed]
        if request.start is not None:
            kept = kept[kept["timestamp"] >= request.start]
        if request.end is not None:
            kept = kept[kept["timestamp"] < request.end]
        if request.last is not None:
            kept = kept.tail(request.last)
        report = SourceReport(self.name, returned=len(kept), forming=int((~closed).sum()))
        return Fetched([kept.reset_index(drop=True)], report)


@pytest.fixture(scope="session")
def frame_source() -> Callable[[pd.DataFrame], FrameSource]:
    return FrameSource


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of the real files; a test that needs them is skipped where they are not."""
    folder = Path(os.environ.get("BTCFS_SHARED_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"the real candle files are not at {folder}; set BTCFS_SHARED_DATA to their folder")
    return folder


def _real(path: Path) -> pd.DataFrame:
    """Candles read without the project's own readers: oldest first, base volume, without the partial newest row."""
    with gzip.open(path, "rt") as file:
        raw = pd.read_csv(file, skiprows=1)
    raw = raw.sort_values("unix").iloc[:-1]
    return pd.DataFrame(
        {
            "timestamp": pd.to_datetime(raw["unix"], unit="s", utc=True).dt.as_unit("us"),
            **{name: raw[name].astype("float64") for name in COLUMNS[1:5]},
            "volume": raw[["Volume BTC", "Volume USD"]].min(axis=1).astype("float64"),
        }
    ).reset_index(drop=True)


@pytest.fixture(scope="session")
def daily_candles(shared_data: Path) -> pd.DataFrame:
    return _real(shared_data / "bitstamp_btcusd_1d.csv.gz")


@pytest.fixture(scope="session")
def hourly_candles(shared_data: Path) -> pd.DataFrame:
    return _real(shared_data / "bitstamp_btcusd_1h.csv.gz")


@pytest.fixture
def at() -> Callable[[str], datetime]:
    """The instant that a text names."""
    return lambda text: pd.Timestamp(to_micros(text), unit="us", tz="UTC").to_pydatetime()
