"""A Hopsworks project with a DuckDB mirror: answers go on through every fault, with equal values, and come back."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

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
from faulted import DAY, TIMEOUT, WRITE_TIMEOUT, Scene, scene, settings, told
from hopsworks_faults import FAULTS
from hopsworks_opening import project_options

pytest_plugins = ["btcfs_hopsworks.testing"]


def test_predictions_go_on_through_an_outage(hopsworks_emulator: Emulator, tmp_path: Path) -> None:
    """No request fails while Hopsworks is away, every vector is the primary's, and the primary answers again afterwards."""
    options = project_options(hopsworks_emulator, tmp_path, timeout=3.0, write_timeout=8.0)
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
            hopsworks_emulator.knobs.add("drop", where, times=None)
        hopsworks_emulator.knobs.change({"kafka_down": True})
        during = [ask() for _ in range(30)]
        report = store.write(group, rows)
        later = ask()
        hopsworks_emulator.knobs.reset()
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
def mirrored(hopsworks_emulator: Emulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """A market in a project and its mirror, with short deadlines."""
    folder = tmp_path_factory.mktemp("mirrored")
    options = settings(hopsworks_emulator, folder)
    config = Config(
        backend="hopsworks",
        fallback="duckdb",
        backends={"hopsworks": options, "duckdb": {"path": str(folder / "mirror")}},
        fallback_options={
            "journal": str(folder / "journal"),
            "deadline": 0.5,
            "definitions_deadline": TIMEOUT,
            "read_deadline": 2 * TIMEOUT,
            "write_deadline": 2 * WRITE_TIMEOUT,
            "failures": 1,
            "rest": 0.1,
            "longest_rest": 0.2,
        },
    )
    hopsworks_emulator.knobs.reset()
    with connect(config=config) as store, scene(hopsworks_emulator, store, folder) as made:
        yield made


@pytest.mark.parametrize("name", FAULTS)
def test_no_prediction_fails_and_no_row_is_lost(mirrored: Scene, name: str) -> None:
    """Under each fault every prediction is right and says where its features are from, and a run is on both sides or refused.

    After it the primary answers again, and both stores hold what an untroubled one does.
    """
    store, knobs = mirrored.store, mirrored.emulator.knobs
    assert isinstance(store, FallbackStore)
    before = told(mirrored.predictions(mirrored.right))
    try:
        FAULTS[name](knobs)
        during = [answer for _ in range(4) for answer in mirrored.predictions(mirrored.client)]
        mirrored.now += DAY
        outcome = mirrored.attempt("ingest", lambda: mirrored.ingest(store))
        later = mirrored.predictions(mirrored.client)
    finally:
        knobs.reset()
    right = mirrored.ingest(mirrored.twin)
    mirrored.until(lambda: not store.sync().waiting and mirrored.source() == "hopsworks")
    again = mirrored.settled(lambda: mirrored.ingest(store))
    mirrored.until(lambda: not store.sync().waiting and mirrored.source() == "hopsworks")
    after = told(mirrored.predictions(mirrored.right))

    assert [answer.status_code for answer in (*during, *later)] == [200] * (len(during) + len(later))
    assert told(during) == before * 4
    assert all(honest(answer.json()) for answer in (*during, *later))
    if not isinstance(outcome, BtcfsError):
        assert (outcome.new_candles, again.new_candles) == (right.new_candles, 0) == (1, 0)
        assert told(later) == after
    primary = store.primary.opened
    assert primary is not None
    for title, rows in mirrored.rows(mirrored.twin).items():
        pd.testing.assert_frame_equal(mirrored.rows(primary)[title], rows)
        pd.testing.assert_frame_equal(mirrored.rows(store.mirror)[title], rows)
    assert told(mirrored.predictions(mirrored.client)) == after


def honest(answer: dict[str, Any]) -> bool:
    """Whether a reason is given exactly where the mirror answered."""
    return answer["feature_source"] == ("hopsworks" if answer["fallback_reason"] is None else "duckdb")
