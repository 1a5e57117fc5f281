"""A Hopsworks project with a DuckDB mirror: answers go on through every fault, with equal values, and come back."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("confluent_kafka", reason="the extra hopsworks-emulator is not installed")
pytest.importorskip("mysql_mimic", reason="the extra hopsworks-emulator is not installed")

from btcfs.config import Config
from btcfs.connection import connect
from btcfs.errors import BtcfsError
from btcfs.fallback import FallbackStore
from btcfs.store import FeatureVector
from btcfs.testing.backends.examples import candle_group, candles, view_of
from btcfs_hopsworks.emulator.application import Emulator
from btcfs_hopsworks.emulator.loopback import free_address
from hopsworks_faults import FAULTS, PATIENCE, TIMEOUT, WRITE_TIMEOUT, attempted


@pytest.fixture(scope="module")
def emulator() -> Iterator[Emulator]:
    with Emulator(host=free_address()) as running:
        yield running


def test_predictions_go_on_through_an_outage(emulator: Emulator, tmp_path: Path) -> None:
    """No request fails while Hopsworks is away, every vector is the primary's, and the primary answers again afterwards."""
    options = {
        "host": emulator.host,
        "port": emulator.port,
        "api_key": emulator.api_key,
        "timeout": 3.0,
        "write_timeout": 8.0,
        "quota_file": str(tmp_path / "quota.json"),
    }
    config = Config(
        backend="hopsworks",
        fallback="duckdb",
        backends={"hopsworks": options, "duckdb": {"path": str(tmp_path / "mirror")}},
        fallback_options={"journal": str(tmp_path / "journal"), "rest": 0.3, "longest_rest": 0.5},
    )
    group = candle_group()
    view = view_of(group)
    rows = candles(group, 8)
    with connect(config=config) as store:
        assert isinstance(store, FallbackStore)

        def ask() -> FeatureVector:
            (vector,) = store.get_online_features(view, [{"symbol": "BTC-USD"}])
            return vector

        store.apply(group)
        store.apply(view)
        first = store.write(group, rows.iloc[:5])
        before = ask()
        with store.exclusive():
            assert store.write(group, rows.iloc[:6]).inserted == 1
        primary, mirror = store.primary.opened, store.mirror
        assert primary is not None
        assert [c.id for c in primary.commits(group)] == [c.id for c in mirror.commits(group)]
        assert first.commit_id == primary.commits(group)[0].id

        for where in ("rest *", "mysql *", "flight *"):
            emulator.knobs.add("drop", where, times=None)
        emulator.knobs.change({"kafka_down": True})
        during = [ask() for _ in range(30)]
        report = store.write(group, rows)
        later = ask()
        emulator.knobs.reset()
        deadline = time.monotonic() + 60
        while ask().source != "hopsworks" or store.pending():
            assert time.monotonic() < deadline, store.pending()
            store.sync()
            time.sleep(0.2)

        assert before.source == "hopsworks"
        assert {v.source for v in during} <= {"hopsworks", "duckdb"}
        assert all(list(v.values) == [float(x) for x in rows[["a", "b"]].iloc[5]] for v in during)
        assert report.inserted == 2
        assert list(later.values) == list(ask().values) == [float(x) for x in rows[["a", "b"]].iloc[-1]]
        pd.testing.assert_frame_equal(primary.read(group), mirror.read(group))


@pytest.fixture(scope="module")
def mirrored(emulator: Emulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FallbackStore]:
    """A project and its mirror with short deadlines, as the settings make them."""
    folder = tmp_path_factory.mktemp("mirrored")
    options = {
        "host": emulator.host,
        "port": emulator.port,
        "api_key": emulator.api_key,
        "timeout": TIMEOUT,
        "write_timeout": WRITE_TIMEOUT,
        "quota_file": str(folder / "quota.json"),
        "monthly_calls": 10**9,
    }
    config = Config(
        backend="hopsworks",
        fallback="duckdb",
        backends={"hopsworks": options, "duckdb": {"path": str(folder / "mirror")}},
        fallback_options={"journal": str(folder / "journal"), "deadline": 0.5, "rest": 0.2, "longest_rest": 0.4},
    )
    with connect(config=config) as store:
        assert isinstance(store, FallbackStore)
        yield store


@pytest.mark.parametrize("name", FAULTS)
def test_no_prediction_fails_and_no_row_is_lost(emulator: Emulator, mirrored: FallbackStore, name: str) -> None:
    """Under each fault every request has the right vector and says where it is from; a write is on both sides or refused.

    After it the primary answers again, and both stores have the same rows.
    """
    emulator.knobs.reset()
    group = candle_group()
    view = view_of(group)
    rows = candles(group, 6)
    changed = rows.assign(a=np.arange(6.0), b=0.5)
    mirrored.apply(group)
    mirrored.write(group, rows)
    mirrored.apply(view)
    _asked(mirrored, view)

    FAULTS[name](emulator.knobs)
    during = [attempted(lambda: _asked(mirrored, view)) for _ in range(8)]
    outcome = attempted(lambda: mirrored.write(group, changed))
    later = attempted(lambda: _asked(mirrored, view))
    emulator.knobs.reset()
    _until(lambda: not mirrored.sync().waiting and _asked(mirrored, view).source == "hopsworks")

    assert [one for one in during if isinstance(one, BtcfsError)] == []
    assert all(list(one.values) == list(rows[["a", "b"]].iloc[-1]) for one in during)
    assert all((one.source == "hopsworks") == (one.fallback_reason is None) for one in during)
    primary = mirrored.primary.opened
    assert primary is not None
    stored = primary.read(group)
    pd.testing.assert_frame_equal(stored, mirrored.mirror.read(group))
    assert list(stored["b"]) in ([0.5] * 6, list(rows["b"]))
    if not isinstance(outcome, BtcfsError):
        pd.testing.assert_frame_equal(stored, changed)
        assert list(later.values) == [5.0, 0.5]
    assert list(_asked(mirrored, view).values) == list(stored[["a", "b"]].iloc[-1])


def _asked(store: FallbackStore, view: Any) -> FeatureVector:
    [vector] = store.get_online_features(view, [{"symbol": "BTC-USD"}])
    return vector


def _until(holds: Callable[[], bool]) -> None:
    until = time.monotonic() + 2 * PATIENCE
    while not holds():
        assert time.monotonic() < until, "the two stores did not come into step again"
        time.sleep(0.1)
