"""Ingestion end to end on the memory backend: what is fetched, computed, written and left alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pandas as pd
import pytest

from btcfs.connection import connect as connected
from btcfs.definitions import Label
from btcfs.errors import ConfigError, InsufficientHistory, NotFound, SchemaError
from btcfs.instants import parse_instant
from btcfs.memory import MemoryStore, connect
from btcfs.pipeline.candles import CandleArrays
from btcfs.pipeline.compute import compute
from btcfs.pipeline.ingest import Ingest
from btcfs.pipeline.standard import create_views
from btcfs.pipeline.statistics import STATISTICS
from btcfs.pipeline.verify import Verification
from btcfs.store import FeatureStore
from served import DAY, NOW, market


@pytest.fixture
def store() -> MemoryStore:
    return connect(defaults={"symbol": "BTC-USD"})


@pytest.fixture
def ingest(store: MemoryStore, frame_source: Callable[..., Any]) -> Ingest:
    return Ingest(store, frame_source(market(1800)), now=NOW)


def open_duckdb(path: Path) -> FeatureStore:
    return connected("duckdb", path=path)


def contents(store: MemoryStore, ingest: Ingest) -> pd.DataFrame:
    return store.read(ingest.feature_group)


def test_historical_emits_the_days_asked_with_every_feature_settled(ingest: Ingest, store: MemoryStore) -> None:
    """N days come out complete, because the lookback was fetched on top."""
    report = ingest.historical(365)
    rows = contents(store, ingest)

    assert (report.inserted, report.updated, report.unchanged, report.warmup_rows) == (365, 0, 0, 0)
    assert report.fetched > 365 + ingest.plan.settle
    assert len(rows) == 365
    assert not rows[list(ingest.plan.feature_names)].isna().any().any()
    assert report.end == NOW.replace(hour=0) - DAY


def test_features_equal_a_computation_over_all_history(ingest: Ingest, store: MemoryStore) -> None:
    """What a short backfill stores is bit for bit what the whole history gives."""
    ingest.historical(100)
    everything = compute(ingest.plan, CandleArrays.from_frame(market(1800), "1d"))

    rows = contents(store, ingest)
    for name, column in zip(everything.names, everything.columns, strict=True):
        assert rows[name].to_numpy().tobytes() == column[-100:].tobytes(), name


def test_a_second_run_changes_nothing(ingest: Ingest, store: MemoryStore) -> None:
    """Daily after daily reports zero changes and no commit."""
    ingest.historical(365)
    before = contents(store, ingest)
    report = ingest.daily()

    assert (report.inserted, report.updated, report.commit_id) == (0, 0, None)
    pd.testing.assert_frame_equal(contents(store, ingest), before)


def test_daily_needs_something_to_continue_from(ingest: Ingest) -> None:
    """Daily on an empty store says what to run first."""
    with pytest.raises(NotFound, match="ingest historical"):
        ingest.daily()


def test_a_restated_candle_rewrites_what_it_reaches_and_nothing_before(
    store: MemoryStore, frame_source: Callable[..., Any]
) -> None:
    """A correction changes rows from its own time on, and the result equals a fresh backfill."""
    candles = market(1800)
    source = frame_source(candles)
    ingest = Ingest(store, source, now=NOW)
    ingest.historical(365)
    before = contents(store, ingest)
    corrected = candles.copy()
    corrected.loc[1790, "close"] = corrected.loc[1790, "high"]
    source.frame = corrected
    report = ingest.daily()

    fresh = connect()
    Ingest(fresh, source, now=NOW).historical(365)
    after = contents(store, ingest)
    assert report.restated_candles == 1
    assert report.updated == 10
    pd.testing.assert_frame_equal(after, fresh.read(ingest.feature_group))
    pd.testing.assert_frame_equal(after[:355], before[:355])
    assert (after["close"][355:] != before["close"][355:]).sum() == 1


def test_daily_heals_a_gap(store: MemoryStore, frame_source: Callable[..., Any]) -> None:
    """A candle that was missing and appears later is filled in, with all that follows from it."""
    candles = market(1800)
    source = frame_source(candles.drop(index=1700))
    ingest = Ingest(store, source, now=NOW)
    ingest.historical(365)
    source.frame = candles
    report = ingest.daily()

    fresh = connect()
    Ingest(fresh, source, now=NOW).historical(365)
    assert report.new_candles == 1
    stored, expected = contents(store, ingest), fresh.read(ingest.feature_group)
    common = stored["timestamp"].isin(expected["timestamp"])
    pd.testing.assert_frame_equal(stored[common].reset_index(drop=True), expected)


def test_daily_for_two_months_equals_one_backfill(store: MemoryStore, frame_source: Callable[..., Any]) -> None:
    """Day by day gives the same table as one backfill, bit for bit, touching no row twice."""
    candles = market(1800)
    start = NOW - 60 * DAY
    Ingest(store, frame_source(candles), now=start).historical(100)
    ingest = Ingest(store, frame_source(candles), now=start)
    for day in range(1, 61):
        report = attrs.evolve(ingest, now=start + day * DAY).daily()
        assert (report.inserted, report.updated) == (1, 0)

    fresh = connect()
    Ingest(fresh, frame_source(candles), now=NOW).historical(160)
    pd.testing.assert_frame_equal(contents(store, ingest), fresh.read(ingest.feature_group))


def test_backfill_emits_its_range_only(ingest: Ingest, store: MemoryStore) -> None:
    """A range of open times is half-open, and its features are complete."""
    report = ingest.backfill(parse_instant("2024-01-01"), parse_instant("2024-02-01"))

    rows = contents(store, ingest)
    assert report.inserted == 31
    assert rows["timestamp"].min() == pd.Timestamp("2024-01-01", tz="UTC")
    assert rows["timestamp"].max() == pd.Timestamp("2024-01-31", tz="UTC")
    assert not rows.isna().any().any()


def test_earlier_history_settles_rows_that_had_less(store: MemoryStore, frame_source: Callable[..., Any]) -> None:
    """When older candles arrive, rows computed without them are computed again."""
    candles = market(1800)
    Ingest(store, frame_source(candles.tail(400)), now=NOW).historical(150)
    ingest = Ingest(store, frame_source(candles), now=NOW)
    report = ingest.historical(200)

    fresh = connect()
    Ingest(fresh, frame_source(candles), now=NOW).historical(200)
    assert report.inserted == 50
    assert report.updated == 150
    pd.testing.assert_frame_equal(contents(store, ingest), fresh.read(ingest.feature_group))


def test_a_dry_run_counts_and_writes_nothing(ingest: Ingest, store: MemoryStore) -> None:
    """--dry-run reports what would be inserted and leaves no trace."""
    report = attrs.evolve(ingest, dry_run=True).historical(30)

    assert (report.inserted, report.commit_id, report.dry_run) == (30, None, True)
    assert store.definitions() == []


def test_a_dry_run_tells_updates_from_equal_rows(ingest: Ingest, frame_source: Callable[..., Any]) -> None:
    """What a dry run counts is what the run then does."""
    ingest.historical(60)
    corrected = market(1800)
    corrected.loc[1795, "volume"] *= 2
    again = attrs.evolve(ingest, source=frame_source(corrected))
    planned = attrs.evolve(again, dry_run=True).historical(70)
    done = again.historical(70)

    counts = ("inserted", "updated", "unchanged")
    assert [getattr(planned, c) for c in counts] == [getattr(done, c) for c in counts] == [10, 5, 55]


def test_too_little_history_is_refused(store: MemoryStore, frame_source: Callable[..., Any]) -> None:
    """Ten candles for a lookback of 199 raise with both numbers, and nothing is stored."""
    with pytest.raises(InsufficientHistory) as caught:
        Ingest(store, frame_source(market(10)), now=NOW).historical(5)

    assert (caught.value.needed, caught.value.have) == (200, 10)
    assert store.definitions() == []


def test_a_bad_candle_stops_everything(store: MemoryStore, frame_source: Callable[..., Any]) -> None:
    """One candle with high below low refuses the run and leaves the store as it was."""
    bad = market(600)
    bad.loc[300, "high"] = bad.loc[300, "low"] / 2
    with pytest.raises(SchemaError, match="high"):
        Ingest(store, frame_source(bad), now=NOW).historical(30)

    assert store.definitions() == []


def test_quarantine_sets_bad_candles_aside(
    store: MemoryStore, frame_source: Callable[..., Any], tmp_path: Path
) -> None:
    """With --quarantine the bad row goes to a file with its reason, and the rest goes on."""
    bad = market(600)
    bad.loc[300, "high"] = bad.loc[300, "low"] / 2
    path = tmp_path / "rejected.csv"
    report = Ingest(store, frame_source(bad), now=NOW, quarantine=path).historical(30)

    rejected = pd.read_csv(path)
    assert report.rejected == len(rejected) == 1
    assert "high" in rejected["reason"].iloc[0]
    assert report.inserted == 30


def test_statistics_are_stored_with_each_commit(ingest: Ingest, store: MemoryStore) -> None:
    """Every commit that changed something has a row of statistics for each feature."""
    report = ingest.historical(40)
    rows = store.read(STATISTICS)

    assert set(rows["feature"]) == set(ingest.plan.feature_names)
    assert set(rows["commit_id"]) == {report.commit_id}
    assert set(rows["rows"]) == {40}
    close = rows.set_index("feature").loc["close"]
    assert close["mean"] == pytest.approx(contents(store, ingest)["close"].mean())


def test_batches_are_cut_as_asked(ingest: Ingest) -> None:
    """365 rows in batches of 100 are four, the last of 65, in one commit."""
    told = []
    report = attrs.evolve(ingest, batch_size=100, notify=told.append).historical(365)

    assert report.batches == 4
    assert [n.text for n in told if n.kind == "progress"][-1] == "Batch 4/4 ingested (65 records)"


@pytest.mark.parametrize("size", [0, -1])
def test_a_batch_holds_at_least_one_row(store: MemoryStore, size: int) -> None:
    """A batch size below one is refused."""
    with pytest.raises(ConfigError, match="batch size"):
        Ingest(store, batch_size=size)


def test_verify_is_green_after_ingest_and_finds_tampering(ingest: Ingest, store: MemoryStore) -> None:
    """Verification recomputes stored rows from their candles, and a falsified one is found."""
    ingest.historical(30)
    create_views(store, ingest.feature_group, Label())
    verification = Verification(store, ingest.plan, ingest.feature_group, ingest.candle_group, "BTC-USD", NOW)
    assert {check.status for check in verification.checks()} == {"ok"}
    rows = contents(store, ingest).tail(1).assign(rsi_14=12.5)
    store.write(ingest.feature_group, rows)

    failed = [check for check in verification.checks() if check.status == "failed"]
    assert [check.name for check in failed] == ["recomputation"]
    assert "rsi_14" in failed[0].message


@pytest.mark.slow
def test_two_years_of_real_days_equal_one_backfill(
    tmp_path: Path, frame_source: Callable[..., Any], daily_candles: pd.DataFrame
) -> None:
    """On the real daily file and the embedded default, daily runs, some of them days late, give the table of one backfill, bit for bit."""
    end = daily_candles["timestamp"].iloc[-1].to_pydatetime() + DAY
    start = end - 730 * DAY
    waits = np.random.default_rng(1).choice([1, 1, 1, 2, 3, 5, 12, 40], 730)
    runs = sorted({*np.minimum(waits.cumsum(), 730).tolist()})
    source = frame_source(daily_candles)
    with open_duckdb(tmp_path / "days") as store, open_duckdb(tmp_path / "once") as fresh:
        ingest = Ingest(store, source, now=start)
        ingest.historical(30)
        last = 0
        for day in runs:
            report = attrs.evolve(ingest, now=start + day * DAY).daily()
            assert (report.inserted, report.updated, report.restated_candles) == (day - last, 0, 0)
            last = day
        Ingest(fresh, source, now=end).historical(760)
        stored, expected = store.read(ingest.feature_group), fresh.read(ingest.feature_group)

    for name in ingest.plan.feature_names:
        assert stored[name].to_numpy().tobytes() == expected[name].to_numpy().tobytes(), name
    pd.testing.assert_frame_equal(stored, expected)
