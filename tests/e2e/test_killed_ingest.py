"""An ingest killed at any moment: nothing acknowledged is lost, nothing is half visible, and the next run completes it."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from btcfs import connect
from btcfs.pipeline.ingest import Ingest
from e2e import ingest_child as child


@pytest.mark.slow
def test_killed_at_fifty_moments(tmp_path: Path) -> None:
    """After 50 kills every acknowledged day is there, whole, equal to one backfill, online as offline."""
    run = subprocess.run(
        [sys.executable, child.__file__, str(tmp_path / "store"), "50"], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    found = json.loads(run.stdout)

    assert [seen > 100 for seen in found["seen"]] == [True] * child.READERS, run.stderr
    _check(tmp_path / "store", tmp_path / "fresh", found["done"])


def _check(path: Path, fresh: Path, done: int) -> None:
    assert done > 20
    now = child.START + timedelta(days=done + 1)
    with connect("duckdb", path=path) as store:
        job = Ingest(store, child.SOURCE, interval="1h", now=now)
        before = store.read(job.feature_group)
        job.daily()
        after = store.read(job.feature_group)
        [newest] = store.get_online_features(child.newest(job), [{"symbol": "BTC-USD"}])
    assert len(before) % 24 == 0
    assert before["event_time"].max() >= child.START + timedelta(days=done)
    assert newest.values[0] == after["close"].iloc[-1]
    child.ingest(fresh, now, days=20 + done + 1)
    with connect("duckdb", path=fresh) as store:
        expected = store.read(Ingest(store, child.SOURCE, interval="1h", now=now).feature_group)
    for name in expected.columns[3:]:
        assert np.array_equal(after[name].to_numpy().view("int64"), expected[name].to_numpy().view("int64")), name
