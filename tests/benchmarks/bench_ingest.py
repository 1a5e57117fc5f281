"""Ingestion on the embedded default: one more candle, a bulk commit, and a backfill of millions in bounded memory."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from statistics import median
from typing import Any

import attrs
import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa

from btcfs import connect
from btcfs.connection import open_source
from btcfs.pipeline.commit import commit
from btcfs.pipeline.ingest import Ingest, batches
from btcfs.plugins import installed_plugins

MINUTE = timedelta(minutes=1)
NOW = datetime(2026, 1, 1, tzinfo=timezone.utc)
DAY_MINUTES = 1440


def main(scale: float = 1.0) -> list[tuple[str, float, str]]:
    return [*one_more_candle(scale), *bulk_commit(scale), *backfill(scale)]


def one_more_candle(scale: float, runs: int = 15) -> list[tuple[str, float, str]]:
    """Fetch, validate, compute, commit offline and online, and describe one more minute."""
    small, large = max(2, int(10_000 * scale) // DAY_MINUTES), max(4, int(1_000_000 * scale) // DAY_MINUTES)
    source = open_source("sample", installed_plugins(), {"seed": 7})
    with tempfile.TemporaryDirectory() as folder:
        timed: dict[int, list[float]] = {small: [], large: []}
        stores = {days: connect("duckdb", path=Path(folder) / str(days)) for days in timed}
        for days, store in stores.items():
            Ingest(store, source, interval="1m", now=NOW).historical(days)
        for run in range(1, runs + 1):
            for days, store in stores.items():
                ingest = Ingest(store, source, interval="1m", now=NOW + run * MINUTE)
                begun = time.perf_counter()
                report = ingest.daily()
                timed[days].append(time.perf_counter() - begun)
                assert report.inserted == 1
        for store in stores.values():
            store.close()
    few, many = median(timed[small][1:]), median(timed[large][1:])
    print(
        f"one more candle: {few * 1e3:.0f} ms at {small * DAY_MINUTES:,} rows, {many * 1e3:.0f} ms at {large * DAY_MINUTES:,}"
    )
    return [("one more candle, large group / small group", many / few, "<= 1.5")]


def bulk_commit(scale: float) -> list[tuple[str, float, str]]:
    """Offline rows, online rows and statistics, against a bare insert of the same table with a primary key."""
    plugins = installed_plugins()
    ingest = Ingest(connect("memory"), interval="1m")
    group = ingest.feature_group
    frame = _rows(group.feature_names, int(1_000_000 * scale))
    ours, bare = [], []
    for _ in range(3):
        bare.append(_clocked(lambda: _bare_insert(frame)))
        with tempfile.TemporaryDirectory() as folder, connect("duckdb", path=folder) as store:
            store.apply(group)
            ours.append(_clocked(lambda store=store: commit(store, group, batches([frame], len(frame) // 20), plugins)))
    print(f"bulk commit: ours {median(ours):.2f} s, bare {median(bare):.2f} s")
    return [("bulk commit with online and statistics / bare DuckDB insert", median(ours) / median(bare), "<= 3")]


def backfill(scale: float) -> list[tuple[str, float, str]]:
    """A backfill in a process of its own: peak memory, and whether time grows with the rows."""
    sizes = [int(7_000_000 * scale / 4), int(7_000_000 * scale)]
    quarter, whole = (_measured(rows) for rows in sizes)
    print(f"backfill: {sizes[0]:,} rows in {quarter[0]:.0f} s, {sizes[1]:,} rows in {whole[0]:.0f} s")
    return [
        ("backfill, peak resident memory in GB", whole[1], "<= 1.5 at 7,000,000 rows"),
        ("backfill, time per row: whole / quarter", whole[0] / sizes[1] * sizes[0] / quarter[0], "about 1"),
    ]


def _measured(rows: int) -> tuple[float, float]:
    code = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); import bench_ingest; bench_ingest.child({rows})"
    out = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    seconds, gigabytes = json.loads(out.splitlines()[-1])
    return seconds, gigabytes


def child(rows: int) -> None:
    """Backfill so many minutes of the sample market and print seconds and peak gigabytes."""
    source = open_source("sample", installed_plugins(), {"seed": 7, "begin": "2010-01-01"})
    with tempfile.TemporaryDirectory() as folder, connect("duckdb", path=folder) as store:
        ingest = Ingest(store, source, interval="1m", now=NOW)
        begun = time.perf_counter()
        report = ingest.backfill(NOW - rows * MINUTE, NOW)
        seconds = time.perf_counter() - begun
    assert report.inserted == rows, attrs.asdict(report)
    print(json.dumps([seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6]))


def _rows(features: tuple[str, ...], count: int) -> pd.DataFrame:
    random = np.random.default_rng(7)
    times = pd.date_range("2020-01-01", periods=count, freq="min", tz="UTC", unit="us")
    values: dict[str, Any] = {name: random.standard_normal(count) for name in features}
    return pd.DataFrame(
        {
            "symbol": pd.Series(["BTC-USD"] * count, dtype=object),
            "timestamp": times,
            "event_time": times + MINUTE,
            **values,
        },
        copy=False,
    )


def _bare_insert(frame: pd.DataFrame) -> None:
    rows = pa.Table.from_pandas(frame, preserve_index=False)
    with tempfile.TemporaryDirectory() as folder:
        connection = duckdb.connect(f"{folder}/bare.duckdb")
        columns = ", ".join(f'"{name}" DOUBLE' for name in frame.columns[3:])
        connection.execute(
            f"CREATE TABLE bare (symbol VARCHAR, timestamp TIMESTAMPTZ, event_time TIMESTAMPTZ, {columns}, "
            f"PRIMARY KEY (symbol, timestamp))"
        )
        connection.register("rows", rows)
        connection.execute("INSERT INTO bare SELECT * FROM rows")
        connection.close()


def _clocked(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


if __name__ == "__main__":
    for name, ratio, bar in main(float(sys.argv[1]) if len(sys.argv) > 1 else 1.0):
        print(f"{name:60s} {ratio:10.3g}   bar {bar}")
