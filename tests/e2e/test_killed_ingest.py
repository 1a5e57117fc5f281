"""An ingest killed at any moment: nothing acknowledged is lost, nothing is half visible, and the next run completes it."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pytest

from btcfs import connect
from btcfs.connection import open_source
from btcfs.definitions import FeatureView
from btcfs.pipeline.ingest import Ingest
from btcfs.plugins import installed_plugins

KILLS = 50
READERS = 4
START = datetime(2024, 1, 1, tzinfo=timezone.utc)
HOUR = timedelta(hours=1)

# Ingests day after day of hourly candles, and prints each day that was acknowledged.
WRITER = """
import sys
from datetime import datetime, timedelta, timezone
from btcfs import connect
from btcfs.connection import open_source
from btcfs.pipeline.ingest import Ingest
from btcfs.plugins import installed_plugins

path, first = sys.argv[1], int(sys.argv[2])
source = open_source("sample", installed_plugins(), {"seed": 7})
start = datetime(2024, 1, 1, tzinfo=timezone.utc)
with connect("duckdb", path=path) as store:
    print("ready", flush=True)
    for day in range(first, first + 1000):
        report = Ingest(store, source, interval="1h", now=start + timedelta(days=day)).daily()
        print("done", day, report.inserted, flush=True)
"""

# Reads the newest vector over and over: hour and price must belong to one committed row, and days come whole.
READER = """
import sys, time
from pathlib import Path
from btcfs import connect
from btcfs.catalogue import find_view

path, stop = sys.argv[1], Path(sys.argv[2])
with connect("duckdb", path=path) as store:
    view = find_view(store.definitions(), "newest")
    seen, last = 0, None
    while not stop.exists():
        [vector] = store.get_online_features(view, [{"symbol": "BTC-USD"}])
        assert vector.event_time.hour == 0, f"half a day is visible: {vector.event_time}"
        assert last is None or vector.event_time >= last, "went back in time"
        assert (vector.values == vector.values).all()
        last, seen = vector.event_time, seen + 1
        time.sleep(0.002)  # leaves the processors to the writer
print("seen", seen)
"""


def ingest(path: Path, now: datetime, days: int) -> None:
    source = open_source("sample", installed_plugins(), {"seed": 7})
    with connect("duckdb", path=path) as store:
        job = Ingest(store, source, interval="1h", now=now)
        job.historical(days)
        view = FeatureView("newest", 1, [job.feature_group.ref], ["close", "hour_of_day", "rsi_14"])
        store.apply(view)


@pytest.mark.slow
def test_killed_at_fifty_moments(tmp_path: Path) -> None:
    """After 50 kills every acknowledged day is there, whole, equal to one backfill, online as offline."""
    path = tmp_path / "store"
    ingest(path, START, days=20)
    stop = tmp_path / "stop"
    readers = [
        subprocess.Popen([sys.executable, "-c", READER, str(path), str(stop)], stdout=subprocess.PIPE, text=True)
        for _ in range(READERS)
    ]
    done, typical = _killed(path, 0, None)
    chance = random.Random(7)
    for _ in range(KILLS):
        done, _ = _killed(path, done, chance.uniform(0, 2.5 * typical))
    stop.touch()
    outputs = [reader.communicate(timeout=200)[0] for reader in readers]

    assert [reader.returncode for reader in readers] == [0] * READERS
    assert all(int(text.split()[1]) > 100 for text in outputs)
    _check(path, tmp_path / "fresh", done)


def _killed(path: Path, done: int, after: float | None) -> tuple[int, float]:
    """Ingest from the day after ``done`` on, killed so many seconds after the start or after the first day is done.

    The last acknowledged day, and how long the first one took.
    """
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path), str(done + 1)], stdout=subprocess.PIPE, text=True
    )
    assert writer.stdout is not None
    assert writer.stdout.readline() == "ready\n"
    begun = time.perf_counter()
    first = writer.stdout.readline() if after is None else ""
    time.sleep(after or 0)  # so that it is killed at another moment each time
    os.kill(writer.pid, signal.SIGKILL)
    lines = [first, *writer.stdout.read().splitlines()]
    writer.wait()
    days = [int(line.split()[1]) for line in lines if line.startswith("done")]
    return max([done, *days]), time.perf_counter() - begun


def _check(path: Path, fresh: Path, done: int) -> None:
    assert done > 20
    now = START + timedelta(days=done + 1)
    source = open_source("sample", installed_plugins(), {"seed": 7})
    with connect("duckdb", path=path) as store:
        job = Ingest(store, source, interval="1h", now=now)
        before = store.read(job.feature_group)
        job.daily()
        after = store.read(job.feature_group)
        [newest] = store.get_online_features(
            FeatureView("newest", 1, [job.feature_group.ref], ["close", "hour_of_day", "rsi_14"]),
            [{"symbol": "BTC-USD"}],
        )
    assert len(before) % 24 == 0
    assert before["event_time"].max() >= START + timedelta(days=done)
    assert newest.values[0] == after["close"].iloc[-1]
    ingest(fresh, now, days=20 + done + 1)
    with connect("duckdb", path=fresh) as store:
        expected = store.read(Ingest(store, source, interval="1h", now=now).feature_group)
    for name in expected.columns[3:]:
        assert np.array_equal(after[name].to_numpy().view("int64"), expected[name].to_numpy().view("int64")), name
