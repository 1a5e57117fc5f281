"""The two real Bitstamp files, read and validated as they are: exactly their documented defects, and nothing else."""

from __future__ import annotations

import csv
import gzip
import os
from datetime import datetime, timezone
from pathlib import Path

import pandas as pd
import pytest

from btcfs.pipeline.findings import Finding
from btcfs.pipeline.validate import Validator
from btcfs.sources import CandleRequest, Fetched
from btcfs_sources import open_csv

UTC = timezone.utc
SHARED = Path(os.environ.get("BTCFS_SHARED_DATA", Path(__file__).parents[2].parent / "shared" / "data"))
FILES = {"1d": SHARED / "bitstamp_btcusd_1d.csv.gz", "1h": SHARED / "bitstamp_btcusd_1h.csv.gz"}
ROWS = {"1d": 2822, "1h": 37386}

pytestmark = pytest.mark.skipif(
    not all(path.is_file() for path in FILES.values()), reason=f"the real candle files are not in {SHARED}"
)


def fetched(interval: str, **options: str) -> Fetched:
    return open_csv(str(FILES[interval]), **options).fetch(CandleRequest("BTC-USD", interval))


def spans(finding: Finding | None) -> list[tuple[str, str, int]]:
    assert finding is not None
    return [(f"{span.first:%Y-%m-%d %H}", f"{span.last:%Y-%m-%d %H}", span.rows) for span in finding.spans]


@pytest.mark.parametrize("interval", ["1d", "1h"])
def test_the_files_are_read_as_they_are(interval: str) -> None:
    """Address line, newest-first order and the partial last candle are handled, and every other row comes out."""
    candles = fetched(interval)
    frame = pd.concat(list(candles.frames), ignore_index=True)

    with gzip.open(FILES[interval], "rt") as file:
        file.readline()
        lines = list(csv.DictReader(file))[:0:-1]
    assert frame["timestamp"].tolist() == [datetime.fromtimestamp(int(line["unix"]), UTC) for line in lines]
    for column, name in (("open", "open"), ("low", "low"), ("volume", "Volume BTC"), ("quote_volume", "Volume USD")):
        assert frame[column].tolist() == [float(line[name]) for line in lines]
    report = candles.report
    assert (report.returned, report.forming, report.outside, report.reordered) == (ROWS[interval], 1, 0, True)
    assert "2022-08-20T00:00:00" in report.notes[0]


def test_the_defects_of_the_daily_file() -> None:
    """The volumes of 1,180 days before 2018-02-28 are swapped, eight days have none, and nothing else is found."""
    validator = Validator("1d")
    list(validator.accepted(fetched("1d").frames))
    report = validator.finish()

    assert {finding.rule for finding in report.findings} == {"swapped_volume", "zero_volume"}
    assert spans(report.finding("swapped_volume")) == [
        ("2014-11-28 00", "2014-12-14 00", 17),
        ("2014-12-16 00", "2015-01-05 00", 21),
        ("2015-01-12 00", "2015-08-05 00", 206),
        ("2015-08-07 00", "2018-02-27 00", 936),
    ]
    assert sum(count for *_, count in spans(report.finding("swapped_volume"))) == 1180
    assert spans(report.finding("zero_volume")) == [
        ("2014-12-15 00", "2014-12-15 00", 1),
        ("2015-01-06 00", "2015-01-11 00", 6),
        ("2015-08-06 00", "2015-08-06 00", 1),
    ]
    assert (report.ok, report.accepted, report.rejected) == (True, 2822, 0)


def test_the_defects_of_the_hourly_file() -> None:
    """The volumes of 20,143 hours in three runs are swapped, six hours have none, and nothing else is found."""
    validator = Validator("1h")
    list(validator.accepted(fetched("1h").frames))
    report = validator.finish()

    assert {finding.rule for finding in report.findings} == {"swapped_volume", "zero_volume"}
    assert spans(report.finding("swapped_volume")) == [
        ("2018-05-15 06", "2019-03-03 00", 7003),
        ("2019-04-13 17", "2020-04-25 19", 9075),
        ("2020-04-26 00", "2020-10-12 08", 4065),
    ]
    assert spans(report.finding("zero_volume")) == [
        ("2020-04-25 20", "2020-04-25 23", 4),
        ("2022-01-05 09", "2022-01-05 09", 1),
        ("2022-07-13 11", "2022-07-13 11", 1),
    ]
    assert (report.ok, report.accepted, report.rejected) == (True, 37386, 0)


@pytest.mark.parametrize(("interval", "count"), [("1d", 1180), ("1h", 20143)])
def test_repaired_volumes_fit_the_prices(interval: str, count: int) -> None:
    """After the repair, quote volume over base volume lies in every traded candle's range, and the count is exact."""
    validator = Validator(interval, repair_volume=True)
    frame = pd.concat(list(validator.accepted(fetched(interval).frames)))
    report = validator.finish()

    traded = frame[frame["volume"] > 0]
    paid = traded["quote_volume"] / traded["volume"]
    assert report.repaired == count
    assert (traded["volume"] < traded["quote_volume"]).all()
    assert ((paid >= traded["low"] * 0.9995) & (paid <= traded["high"] * 1.0005)).all()


@pytest.mark.parametrize(("interval", "jumps"), [("1d", ["2018-02-28 00"]), ("1h", ["2019-03-03 01", "2019-04-13 17", "2020-10-12 09"])])  # fmt: skip
def test_the_swaps_show_without_the_quote_volume(interval: str, jumps: list[str]) -> None:
    """Where only one volume column is known, each change of its unit is found at its very candle, and no other."""
    validator = Validator(interval)
    list(validator.accepted(frame.drop(columns="quote_volume") for frame in fetched(interval).frames))
    report = validator.finish()

    assert {finding.rule for finding in report.findings} == {"volume_jump", "zero_volume"}
    assert [first for first, *_ in spans(report.finding("volume_jump"))] == jumps


def test_the_partial_day_can_be_kept() -> None:
    """With last='keep' the partial candle comes out, as whoever says so takes it to be complete."""
    candles = fetched("1d", last="keep")
    frame = pd.concat(list(candles.frames))

    assert len(frame) == 2823
    assert candles.report.forming == 0
