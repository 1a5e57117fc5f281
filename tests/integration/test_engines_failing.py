"""Spread backfills in which a task fails, a worker dies or the driver is killed: named, and nothing half written."""

from __future__ import annotations

import multiprocessing
import signal
import sys
from pathlib import Path

import pandas as pd
import pytest

from btcfs.connection import connect
from btcfs.errors import StoreUnavailable
from btcfs.instants import parse_instant
from btcfs.pipeline.ingest import Ingest
from btcfs.processes import Processes
from distributions import btcfs, command, install
from spread_engines import END, NOW, OPTIONS, START, Gapped, command_line, needed

FAULTY = """
import os
from btcfs import hookimpl, indicator

@indicator(lookback=0)
def faulty(timestamp, close):
    "Does something bad from 2023 on."
    if timestamp[-1] > 1_672_531_200_000_000:
        {deed}
    return close * 2

@hookimpl
def btcfs_indicators():
    return [faulty]
"""


@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize(
    ("deed", "code", "cause"),
    [("raise OSError('planted fault')", 3, "OSError: planted fault"), ("os._exit(9)", 4, "lost the features")],
)
def test_a_task_that_fails_is_named_and_leaves_the_store_alone(
    name: str, deed: str, code: int, cause: str, tmp_path: Path
) -> None:
    """Symbol, range and cause are told, markets before stay whole, nothing of the failing one is visible."""
    needed(name)
    site = tmp_path / "site"
    site.mkdir()
    install(site, "btcfs-faulty", "btcfs_faulty", FAULTY.format(deed=deed), btcfs="faulty")
    (tmp_path / "btcfs.toml").write_text('features = ["close", "faulty"]\n')
    begin = ["ingest", "backfill", "--source", "sample", "--start", "2022-01-01", "--symbols", "AAA-USD,BBB-USD"]

    done = btcfs(*begin, "--end", "2022-06-01", *command_line(name), site=site, cwd=tmp_path)
    failed = btcfs(*begin, "--end", "2023-06-01", *command_line(name), site=site, cwd=tmp_path)

    assert done.returncode == 0, done.stderr
    assert failed.returncode == code, failed.stderr
    assert cause in failed.stderr
    assert "AAA-USD, 2022-01-01 00:00 to 2023-05-31 00:00" in failed.stderr
    with connect("duckdb", path=tmp_path / ".btcfs") as store:
        for definition in store.definitions():
            if definition.name.startswith("bitcoin"):
                rows = store.read(definition)
                assert rows["timestamp"].max() == pd.Timestamp("2022-05-31", tz="UTC")


def test_a_lost_worker_process_is_told() -> None:
    """A worker that is killed between tasks does not leave the driver waiting."""
    engine = Processes(workers=1)
    try:
        with connect("memory") as store:
            ingest = Ingest(store, Gapped(), interval="1h", now=NOW, engine=engine)
            ingest.backfill(START, END)
            for child in multiprocessing.active_children():
                child.kill()
                child.join()
            with pytest.raises(StoreUnavailable, match="lost the features of BTC-USD, 2021-03-02"):
                ingest.backfill(END, parse_instant("2021-04-01"))
    finally:
        engine.close()


KILLED = """
import os, signal, sys
from btcfs.connection import connect, open_source
from btcfs.instants import parse_instant
from btcfs.pipeline.ingest import Ingest
from btcfs.pipeline.markets import backfill_markets
from btcfs.plugins import installed_plugins
from btcfs.processes import Processes

class Deadly:
    name, workers, in_flight, taken = "deadly", 2, 4, 0
    def __init__(self):
        self.inner = Processes(workers=2)
    def submit(self, function, task):
        return Promise(self, self.inner.submit(function, task))

class Promise:
    def __init__(self, engine, inner):
        self.engine, self.inner = engine, inner
    def result(self):
        answer = self.inner.result()
        self.engine.taken += 1
        if self.engine.taken == int(sys.argv[1]):
            os.kill(os.getpid(), signal.SIGKILL)
        return answer
    def cancel(self):
        self.inner.cancel()

if __name__ == "__main__":
    with connect("duckdb", path="store") as store:
        source = open_source("sample", installed_plugins(), {})
        ingest = Ingest(store, source, interval="1h", engine=Deadly())
        backfill_markets(ingest, ["AAA-USD", "BBB-USD"], parse_instant("2021-01-01"), parse_instant("2022-01-01"))
"""


@pytest.mark.parametrize(("result", "whole"), [(2, 0), (4, 1)])
def test_killing_the_driver_leaves_whole_markets(result: int, whole: int, tmp_path: Path) -> None:
    """After SIGKILL in a market's second result the store has the markets before, complete, and nothing of that one."""
    (tmp_path / "child.py").write_text(KILLED)

    done = command([sys.executable, "child.py", str(result)], tmp_path, tmp_path)

    assert done.returncode == -signal.SIGKILL, done.stderr
    with connect("duckdb", path=tmp_path / "store") as store:
        rows = {d.name: len(store.read(d)) for d in store.definitions() if d.name.startswith("bitcoin")}
        assert rows["bitcoin_features_1h"] == whole * 8_760
        assert (rows["bitcoin_candles_1h"] > 8_760) == bool(whole)
