"""The DuckDB backend's writes: one more row beside a small and a large group, and a million rows against bare DuckDB."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

import duckdb
import numpy as np
import pandas as pd

from btcfs import frames
from btcfs.definitions import Feature, FeatureGroup
from btcfs_duckdb import connect
from btcfs_duckdb.schema import to_arrow

GROUP = FeatureGroup("bitcoin", 1, [Feature(f"f_{n}") for n in range(47)], interval="1m")


def main(scale: float = 1.0) -> list[tuple[str, float, str]]:
    return [*one_more_row(scale), *bulk(scale)]


def one_more_row(scale: float, runs: int = 31) -> list[tuple[str, float, str]]:
    """Commit one row of 47 features offline and online, at 10,000 and at 1,000,000 rows, in turns."""
    sizes = int(10_000 * scale), int(1_000_000 * scale)
    timed: dict[int, list[float]] = {size: [] for size in sizes}
    with tempfile.TemporaryDirectory() as folder:
        stores = {size: connect(Path(folder) / str(size)) for size in sizes}
        for size, store in stores.items():
            store.apply(GROUP)
            store.write(GROUP, rows(size))
        for run in range(runs):
            for size, store in stores.items():
                row = rows(1, size + run)
                timed[size].append(clocked(lambda store=store, row=row: store.write(GROUP, row)))
        for store in stores.values():
            store.close()
    small, large = (median(timed[size][1:]) for size in sizes)
    print(f"one more row: {small * 1e3:.1f} ms at {sizes[0]:,} rows, {large * 1e3:.1f} ms at {sizes[1]:,}")
    return [("one more row, large group / small group", large / small, "<= 1.5")]


def bulk(scale: float, runs: int = 3) -> list[tuple[str, float, str]]:
    """Commit rows offline and online, in one frame and in frames of 10,000; and insert the same into bare DuckDB."""
    frame = frames.conform(GROUP, rows(int(1_000_000 * scale)))
    kinds: dict[str, Callable[[], Any]] = {
        "one frame": lambda: frame,
        "frames of 10,000": lambda: pieces(frame, 10_000),
    }
    bare: list[float] = []
    ours: dict[str, list[float]] = {kind: [] for kind in kinds}
    for _ in range(runs):
        bare.append(bare_insert(frame))
        for kind, given in kinds.items():
            with tempfile.TemporaryDirectory() as folder, connect(folder) as store:
                store.apply(GROUP)
                ours[kind].append(clocked(lambda store=store, given=given: store.write(GROUP, given())))
    base = median(bare)
    shown = ", ".join(f"{kind} {median(times):.2f} s" for kind, times in ours.items())
    print(f"{len(frame):,} rows x 48: bare insert with primary key {base:.2f} s, {shown}")
    return [(f"bulk commit, {kind} / bare insert", median(times) / base, "<= 2.2") for kind, times in ours.items()]


def bare_insert(frame: pd.DataFrame) -> float:
    """Seconds to insert the frame's Arrow table into a DuckDB table with a primary key, and to close the file."""
    table = to_arrow(GROUP, frame)
    with tempfile.TemporaryDirectory() as folder:
        connection = duckdb.connect(str(Path(folder) / "bare.duckdb"))
        features = ", ".join(f"{name} DOUBLE" for name in GROUP.feature_names)
        connection.execute(
            f'CREATE TABLE bare (symbol VARCHAR, "timestamp" TIMESTAMPTZ, event_time TIMESTAMPTZ, {features}, '
            f'PRIMARY KEY (symbol, "timestamp"))'
        )
        connection.register("given", table)

        def insert() -> None:
            connection.execute("INSERT INTO bare SELECT * FROM given")
            connection.close()

        return clocked(insert)


def rows(count: int, first: int = 0) -> pd.DataFrame:
    random = np.random.default_rng(first)
    minutes = pd.date_range("2015-01-01", periods=count, freq="min", tz="UTC") + pd.Timedelta(minutes=first)
    features = {name: random.normal(size=count) for name in GROUP.feature_names}
    return pd.DataFrame({"symbol": "BTC-USD", "timestamp": minutes, **features})


def pieces(frame: pd.DataFrame, size: int) -> Iterator[pd.DataFrame]:
    for start in range(0, len(frame), size):
        yield frame.iloc[start : start + size]


def clocked(act: Callable[[], object]) -> float:
    begun = time.perf_counter()
    act()
    return time.perf_counter() - begun


if __name__ == "__main__":
    for name, ratio, bar in main():
        print(f"{name:50} {ratio:6.2f}   {bar}")
