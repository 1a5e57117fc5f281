"""Validation says the same however the candles are cut into frames."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime, timedelta, timezone
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from btcfs.pipeline.validate import CandlesRefused, ValidationReport, Validator

START = datetime(2024, 3, 1, tzinfo=timezone.utc)
COUNT = 120

spoils = st.lists(
    st.tuples(
        st.integers(0, COUNT - 1),
        st.sampled_from(
            ["drop", "repeat", "conflict", "swap", "zero", "negative", "nan", "late", "copy", "jump", "back"]
        ),
    ),
    max_size=12,
)
cuts = st.lists(st.integers(0, COUNT + 20), max_size=8)


Row = dict[str, Any]


def clean() -> list[Row]:
    random = np.random.default_rng(3)
    close = 20_000.0 + random.normal(0, 50, COUNT).cumsum()
    frame = pd.DataFrame({"timestamp": [START + timedelta(minutes=n) for n in range(COUNT)], "open": close})
    frame["open"] = np.r_[20_000.0, close[:-1]]
    frame["high"] = np.maximum(frame["open"], close) + 1
    frame["low"] = np.minimum(frame["open"], close) - 1
    frame["close"] = close
    frame["volume"] = random.uniform(1, 9, COUNT)
    return frame.assign(quote_volume=frame["volume"] * close).to_dict("records")


def spoiled(faults: list[tuple[int, str]], quote: bool) -> pd.DataFrame:
    """Candles with these faults at these rows."""
    rows = clean()
    again: list[tuple[int, Row]] = []
    for at, fault in faults:
        row, before = rows[at], rows[max(at - 1, 0)]
        changes: dict[str, Row] = {
            "drop": {"timestamp": before["timestamp"]},
            "swap": {"volume": row["quote_volume"], "quote_volume": row["volume"]},
            "zero": {"volume": 0.0},
            "negative": {"volume": -1.0},
            "nan": {"volume": float("nan")},
            "late": {"timestamp": row["timestamp"] + timedelta(seconds=7)},
            "back": {"timestamp": row["timestamp"] - timedelta(minutes=5)},
            "copy": {**before, "timestamp": row["timestamp"]},
        }
        if fault in ("repeat", "conflict"):
            again.append((at, {**row, "volume": row["volume"] if fault == "repeat" else 0.5}))
        for later in rows[at:] if fault == "jump" else ():
            later["volume"] *= 1e6
        row.update(changes.get(fault, {}))
    for at, row in sorted(again, key=lambda pair: -pair[0]):
        rows.insert(at + 1, row)
    frame = pd.DataFrame(rows)
    frame["timestamp"] = frame["timestamp"].dt.as_unit("us")
    return frame if quote else frame.drop(columns="quote_volume")


def validated(
    frames: list[pd.DataFrame], repair: bool
) -> tuple[list[dict[str, object]], list[dict[str, object]], ValidationReport]:
    rejected: list[pd.DataFrame] = []
    accepted: list[pd.DataFrame] = []
    validator = Validator("1m", START + timedelta(days=1), repair_volume=repair, quarantine=rejected.append)
    with suppress(CandlesRefused):  # of a wrong interval, which the report tells as well
        for frame in validator.accepted(frames):
            accepted.append(frame)
    return records(accepted), records(rejected), validator.report()


def records(frames: list[pd.DataFrame]) -> list[dict[str, object]]:
    rows = pd.concat(frames).to_dict("records") if frames else []
    return sorted(({name: str(value) for name, value in row.items()} for row in rows), key=str)


@settings(max_examples=60, derandomize=True, deadline=None)
@given(spoils, cuts, st.booleans(), st.booleans())
def test_frames_do_not_matter(faults: list[tuple[int, str]], edges: list[int], quote: bool, repair: bool) -> None:
    """Accepted rows, rejected rows and every number of the report are those of one single frame."""
    frame = spoiled(faults, quote)
    borders = [0, *sorted(min(edge, len(frame)) for edge in edges), len(frame)]
    parts = [frame.iloc[low:high] for low, high in pairwise(borders)]

    assert validated(parts, repair) == validated([frame], repair)


@settings(max_examples=40, derandomize=True, deadline=None)
@given(spoils, st.booleans())
def test_no_row_is_lost(faults: list[tuple[int, str]], quote: bool) -> None:
    """Every row is accepted, rejected with a reason, or dropped as a duplicate; the accepted ones are in strict order."""
    frame = spoiled(faults, quote)

    accepted, rejected, report = validated([frame], repair=False)

    assert report.rows == len(frame) == report.accepted + report.rejected + report.dropped
    assert (report.accepted, report.rejected) == (len(accepted), len(rejected))
    assert all(row["reason"] for row in rejected)
    assert len({str(row["timestamp"]) for row in accepted}) == len(accepted)
