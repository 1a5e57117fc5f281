"""What follows from the rules: refusal of everything, rows set aside or put right, and the report."""

from __future__ import annotations

import csv
import json
from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from btcfs.errors import StoreUnavailable
from btcfs.pipeline.quarantine import RejectedFile
from btcfs.pipeline.validate import CandlesRefused, Validator, check, judge
from btcfs.pipeline.volume import repair_volume
from plausible import LATER, START, candles, changed


def test_all_errors_are_told_at_once() -> None:
    """The error that stops a commit lists every rule that was broken and carries the report."""
    frame = changed(7, high=1.0)
    frame.loc[9, "close"] = np.nan

    with pytest.raises(CandlesRefused, match=r"(?s)finite.*ohlc") as refused:
        list(Validator("1h", LATER).accepted([frame]))

    assert refused.value.report.rejected == 2


def test_quarantine_sets_rows_aside_with_reasons() -> None:
    """With a quarantine, refused rows go there with every reason, and the rest is accepted."""
    rejected: list[pd.DataFrame] = []
    frame = changed(7, high=1.0, volume=-1.0)
    validator = Validator("1h", LATER, quarantine=rejected.append)

    accepted = pd.concat(validator.accepted([frame]))
    report = validator.finish()

    assert len(accepted) == report.accepted == 49
    (row,) = pd.concat(rejected).to_dict("records")
    assert row["reason"].startswith("ohlc: ")
    assert "volume: volume -1.0" in row["reason"]
    assert row["timestamp"] == START + timedelta(hours=7)


def test_rejected_rows_are_written_to_a_file(tmp_path: Path) -> None:
    """The file has one line per rejected row with its values and the reason, and grows with the next run."""
    file = RejectedFile(tmp_path / "aside" / "rejected.csv")
    assert not file.path.exists()

    for frame in (changed(7, high=1.0), changed(9, volume=-1.0)):
        list(Validator("1h", LATER, quarantine=file).accepted([frame]))

    with file.path.open() as lines:
        first, second = csv.DictReader(lines)
    assert file.rows == 2
    assert first["timestamp"] == "2024-03-01T07:00:00.000000Z"
    assert (float(first["high"]), first["reason"].split(":")[0]) == (1.0, "ohlc")
    assert second["reason"].startswith("volume: ")


def test_a_file_that_cannot_be_written(tmp_path: Path) -> None:
    """Rejected rows that cannot be set aside stop everything, with the path in the message."""
    (tmp_path / "taken").write_text("")

    with pytest.raises(StoreUnavailable, match="taken"):
        list(
            Validator("1h", LATER, quarantine=RejectedFile(tmp_path / "taken" / "r.csv")).accepted(
                [changed(7, high=1.0)]
            )
        )


def test_swapped_volumes_are_put_right_row_by_row() -> None:
    """Each row whose volumes stand in each other's column is repaired and counted; the others are left alone."""
    frame = candles()
    wrong = frame.index.isin([*range(5, 15), 33])
    swapped = frame.copy()
    swapped.loc[wrong, ["volume", "quote_volume"]] = frame.loc[wrong, ["quote_volume", "volume"]].to_numpy()

    repaired, count = repair_volume(swapped)
    verdict = judge(swapped, "1h", LATER, repair_volume=True)

    assert count == verdict.report.repaired == 11
    pd.testing.assert_frame_equal(repaired, frame)
    pd.testing.assert_frame_equal(verdict.accepted, frame)


def test_the_report_as_text_and_json() -> None:
    """The report reads as lines for a person and as plain JSON for a program, with the same counts."""
    report = check(changed(7, high=1.0), "1h", LATER)

    content = json.loads(json.dumps(report.to_dict()))

    assert content["ok"] is False
    assert content["findings"][0]["rule"] == "ohlc"
    assert content["findings"][0]["count"] == 1
    assert "error: ohlc: 1 candles" in report.text()
    assert "49 accepted" in report.text()


def test_rows_held_back_are_not_forgotten() -> None:
    """finish refuses to report while accepted rows are still held back."""
    validator = Validator("1h", LATER)
    validator.feed(candles())

    with pytest.raises(RuntimeError, match="flush"):
        validator.finish()


def test_nothing_is_valid() -> None:
    """No candle at all breaks no rule; whether that is enough is for the caller to say."""
    report = check([], "1h", LATER)

    assert report.ok
    assert report.rows == 0
    assert report.start is None
