"""What a candle source must do, as tests: subclass ``SourceTests`` and give it one fixture, ``source``."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from typing import Any

import pandas as pd
import pytest

from btcfs.definitions import parse_interval
from btcfs.errors import ConfigError, NotFound, SchemaError
from btcfs.pipeline.validate import check
from btcfs.sources import CandleRequest, Fetched, Source

COLUMNS = ["timestamp", "open", "high", "low", "close", "volume"]


class SourceTests:
    """The laws of a candle source.

    A subclass defines the fixture ``source`` and, where they differ, the attributes below. The
    source has every candle of ``symbol`` and ``interval`` that opens in ``[start, end)``, at least 40, and
    the one that opens at ``end``. ``unknown_symbol`` and ``unknown_interval`` are ones that it can
    tell it does not have; None if it cannot.
    """

    symbol = "BTC-USD"
    interval = "1h"
    start = datetime(2024, 3, 1, tzinfo=timezone.utc)
    end = datetime(2024, 3, 6, tzinfo=timezone.utc)
    unknown_symbol: str | None = "NOSUCH-USD"
    unknown_interval: str | None = "1w"

    @pytest.fixture
    def source(self) -> Source:
        raise NotImplementedError("define the fixture 'source' in the subclass")

    def request(self, **changes: Any) -> CandleRequest:
        """The span that the source has, seen from a week later; with changes."""
        asked = {"start": self.start, "end": self.end, "now": self.end + 7 * parse_interval("1d"), **changes}
        return CandleRequest(**{"symbol": self.symbol, "interval": self.interval, **asked})

    @property
    def step(self) -> timedelta:
        return parse_interval(self.interval)

    def test_is_a_source(self, source: Source) -> None:
        """A source has a name and fetches."""
        assert isinstance(source, Source)
        assert isinstance(source.name, str)
        assert source.name

    def test_columns_and_types(self, source: Source) -> None:
        """Each frame has UTC microsecond times and float64 numbers, and nothing else but the quote volume."""
        for frame in source.fetch(self.request()).frames:
            assert list(frame.columns) in (COLUMNS, [*COLUMNS, "quote_volume"])
            assert frame["timestamp"].dtype == pd.DatetimeTZDtype("us", "UTC")
            assert {str(dtype) for dtype in frame.dtypes[1:]} == {"float64"}

    def test_every_candle_of_the_span_in_order(self, source: Source) -> None:
        """The candles that open in [start, end) come oldest first, the one at start among them, not the one at end."""
        expected = pd.date_range(self.start, self.end, freq=self.step, inclusive="left", unit="us")

        times = rows(source.fetch(self.request()))["timestamp"]

        assert times.tolist() == expected.tolist()

    def test_the_span_is_half_open(self, source: Source) -> None:
        """A microsecond after a candle's open excludes it at the start and includes it at the end."""
        start, end = self.start + timedelta(microseconds=1), self.start + 5 * self.step + timedelta(microseconds=1)

        times = rows(source.fetch(self.request(start=start, end=end)))["timestamp"]

        assert times.tolist() == [self.start + number * self.step for number in range(1, 6)]

    def test_an_empty_span(self, source: Source) -> None:
        """A span that ends where it starts has no candle."""
        assert len(rows(source.fetch(self.request(end=self.start)))) == 0

    def test_candles_are_valid(self, source: Source) -> None:
        """What a source gives breaks no rule of severity error."""
        request = self.request()

        report = check(source.fetch(request).frames, self.interval, request.now)

        assert report.ok, report.text()

    def test_last(self, source: Source) -> None:
        """last=N gives the newest N candles before the end."""
        whole = rows(source.fetch(self.request()))

        newest = rows(source.fetch(self.request(start=None, last=7)))

        same(newest, whole.tail(7))

    def test_overlapping_requests_agree(self, source: Source) -> None:
        """A candle is the same whatever span it is asked in."""
        whole = rows(source.fetch(self.request()))

        part = rows(source.fetch(self.request(start=self.start + 11 * self.step, end=self.end - 11 * self.step)))

        same(part, whole.iloc[11:-11])

    def test_the_same_again(self, source: Source) -> None:
        """Two fetches give the same candles."""
        same(rows(source.fetch(self.request())), rows(source.fetch(self.request())))

    def test_frames_can_be_walked_twice(self, source: Source) -> None:
        """A second walk through the frames gives the same candles and the same counts."""
        fetched = source.fetch(self.request())
        first = rows(fetched)
        returned = fetched.report.returned

        same(rows(fetched), first)
        assert fetched.report.returned == returned

    def test_a_forming_candle_is_left_out(self, source: Source) -> None:
        """A candle is given from its close on, not a microsecond earlier, and is counted until then."""
        close = self.start + 21 * self.step
        early = source.fetch(self.request(now=close - timedelta(microseconds=1)))

        assert rows(early)["timestamp"].iloc[-1] == close - 2 * self.step
        assert early.report.forming >= 1
        assert rows(source.fetch(self.request(now=close)))["timestamp"].iloc[-1] == close - self.step

    def test_last_counts_closed_candles(self, source: Source) -> None:
        """last=N gives N closed candles while another is forming."""
        now = self.start + 21 * self.step + self.step / 2

        times = rows(source.fetch(self.request(start=None, end=None, last=3, now=now)))["timestamp"]

        assert times.tolist() == [self.start + number * self.step for number in (18, 19, 20)]

    def test_the_report_counts(self, source: Source) -> None:
        """The report counts the rows that came out, and is plain enough for JSON."""
        fetched = source.fetch(self.request())
        count = len(rows(fetched))

        assert fetched.report.returned == count
        assert fetched.report.source
        json.dumps(fetched.report.to_dict())

    def test_an_unknown_symbol(self, source: Source) -> None:
        """A symbol that the source does not have is an error that names it, not an empty answer."""
        if self.unknown_symbol is None:
            return
        with pytest.raises((ConfigError, SchemaError, NotFound), match=self.unknown_symbol):
            rows(source.fetch(self.request(symbol=self.unknown_symbol)))

    def test_an_unknown_interval(self, source: Source) -> None:
        """An interval that the source does not have is an error that names it."""
        if self.unknown_interval is None:
            return
        with pytest.raises((ConfigError, SchemaError, NotFound), match=self.unknown_interval):
            rows(source.fetch(self.request(interval=self.unknown_interval)))


def rows(fetched: Fetched) -> pd.DataFrame:
    """All rows of all frames."""
    frames = list(fetched.frames)
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=COLUMNS)


def same(one: pd.DataFrame, other: pd.DataFrame) -> None:
    """The same rows, bit for bit."""
    pd.testing.assert_frame_equal(one.reset_index(drop=True), other.reset_index(drop=True), check_exact=True)
