"""Validation says the same however the candles are cut into frames."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

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


def spoiled(faults: list[tuple[int, str]], quote: bool) -> pd.DataFrame:
    """Candles with these faults at these rows."""
    random = np.random.default_rng(3)
    close = 20_000.0 + random.normal(0, 50, COUNT).cumsum()
    opened = np.r_[20_000.0, close[:-1]]
    volume = random.uniform(1, 9, COUNT)
    columns = {
        "open": opened,
        "high": np.maximum(opened, close) + 1,
        "low": np.minimum(opened, close) - 1,
        "close": close,
        "volume": volume,
        "quote_volume": volume * close,
    }
    times = [START + timedelta(minutes=number) for number in range(COUNT)]
    rows = [
        {"timestamp": time, **{k: float(v[number]) for k, v in columns.items()}} for number, time in enumerate(times)
    ]
    extra: list[tuple[int, dict[str, object]]] = []
    for row, fault in faults:
        values = rows[row]
        if fault == "drop":
            values["timestamp"] = rows[max(row - 1, 0)]["timestamp"]
        elif fault in ("repeat", "conflict"):
            extra.append((row, dict(values) if fault == "repeat" else {**values, "volume": 0.5}))
        elif fault == "swap":
            values["volume"], values["quote_volume"] = values["quote_volume"], values["volume"]
        elif fault in ("zero", "negative", "nan"):
            values["volume"] = {"zero": 0.0, "negative": -1.0, "nan": float("nan")}[fault]
        elif fault == "late":
            values["timestamp"] += timedelta(seconds=7)
        elif fault == "copy" and row:
            rows[row] = {**rows[row - 1], "timestamp": values["timestamp"]}
        elif fault == "jump":
            for later in rows[row:]:
                later["volume"] *= 1e6
        elif fault == "back":
            values["timestamp"] -= timedelta(minutes=5)
    for row, values in sorted(extra, key=lambda pair: -pair[0]):
        rows.insert(row + 1, values)
    frame = pd.DataFrame(rows)
    frame["timestamp"] = frame["timestamp"].dt.as_unit("us")
    return frame if quote else frame.drop(columns="quote_volume")


def validated(
    frames: list[pd.DataFrame], repair: bool
) -> tuple[list[dict[str, object]], list[dict[str, object]], ValidationReport]:
    rejected: list[pd.DataFrame] = []
    accepted: list[pd.DataFrame] = []
    validator = Validator("1m", START + timedelta(days=1), repair_volume=repair, quarantine=rejected.append)
    try:
        accepted.extend(validator.accepted(frames))
    except CandlesRefused as refused:
        assert refused.report.finding("interval") is not None
    return records(accepted), records(rejected), validator.report()


def records(frames: list[pd.DataFrame]) -> list[dict[str, object]]:
    rows = pd.concat(frames).astype(object).fillna("missing").to_dict("records") if frames else []
    return sorted(rows, key=str)


@settings(max_examples=60, derandomize=True, deadline=None)
@given(spoils, cuts, st.booleans(), st.booleans())
def test_frames_do_not_matter(faults: list[tuple[int, str]], edges: list[int], quote: bool, repair: bool) -> None:
    """Accepted rows, rejected rows and every number of the report are those of one single frame."""
    frame = spoiled(faults, quote)
    borders = [0, *sorted(min(edge, len(frame)) for edge in edges), len(frame)]
    parts = [frame.iloc[low:high] for low, high in zip(borders, borders[1:], strict=False)]

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
