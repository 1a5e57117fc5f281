"""The online table's reads: one vector by key and the newest, against a point query of DuckDB and against computing it."""

from __future__ import annotations

import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).parents[1]))
import duckdb
from bench_store import GROUP, rows

from btcfs import frames
from btcfs.bitcoin.handles import ViewHandle
from btcfs.definitions import FeatureView
from btcfs.online.measured import measure
from btcfs.pipeline.standard import candle_group
from btcfs.plugins import installed_plugins
from btcfs.testing.pandas_features import pandas_features
from btcfs_duckdb import connect
from btcfs_duckdb.mirror import BATCH
from btcfs_duckdb.schema import to_arrow
from conftest import FrameSource
from served import filled, inference_view, market

TURN = 10
ONE_ROW = "SELECT ts, payload FROM one WHERE entity=? AND ts=?"
VIEW = FeatureView("model", 1, [GROUP.ref], GROUP.feature_names)


def main(scale: float = 1.0) -> list[tuple[str, float, str]]:
    count = int(1_000_000 * scale)
    frame = frames.conform(GROUP, rows(count))
    with tempfile.TemporaryDirectory() as folder, connect(Path(folder) / "store") as store:
        store.apply(GROUP)
        store.apply(VIEW)
        store.write(GROUP, frame)
        store.write(GROUP, rows(1, count))
        bare = duckdb.connect(str(Path(folder) / "bare.duckdb"))
        bare.register("given", to_arrow(GROUP, frame))
        bare.execute("CREATE TABLE bare AS SELECT * FROM given")
        bare.execute('ALTER TABLE bare ADD PRIMARY KEY (symbol, "timestamp")')
        times_of_a_file = frame["timestamp"].iloc[min(BATCH, count) - 1].to_pydatetime()
        times = [time.to_pydatetime() for time in frame["timestamp"].sample(2_000, random_state=1)]
        keys = [{"symbol": "BTC-USD", "timestamp": time} for time in times]
        # As many as one file has of a market when it was written at once; the others lie in eight.
        near = [key for key in keys if key["timestamp"] < times_of_a_file]
        near = (near * (2_000 // len(near) + 1))[:2_000]
        query = 'SELECT * FROM bare WHERE symbol = ? AND "timestamp" = ?'
        handle = ViewHandle(store, VIEW, "BTC-USD")
        yardstick = one_row_table(Path(folder) / "yardstick.sqlite")
        acts: dict[str, Callable[[int], object]] = {
            "by key": lambda n: store.get_online_features(VIEW, [keys[n]]),
            "newest": lambda n: store.get_online_features(VIEW, [{"symbol": "BTC-USD"}]),
            "bare SQLite": lambda n: yardstick.execute(ONE_ROW, ("BTC-USD", n)).fetchone(),
            "guide's by key": lambda n: handle.get_feature_vector(keys[n]),
            "guide's newest": lambda n: handle.get_feature_vector({}),
            "guide's 100": lambda n: handle.get_feature_vectors(keys[n : n + 100]),
            "100 by key": lambda n: store.get_online_features(VIEW, keys[n : n + 100]),
            "100 as a list": lambda n: list(store.get_online_features(VIEW, keys[n : n + 100])),
            "100 of a file": lambda n: store.get_online_features(VIEW, near[n : n + 100]),
        }
        every = interleaved(acts, 1_500)
        # By itself: its query empties the processor's caches for whoever comes after it.
        asked = {"DuckDB": lambda n: bare.sql(query, params=["BTC-USD", times[n]]).to_arrow_table()}
        every.update(interleaved(asked, 100))
        bare.close()
        yardstick.close()
    taken = {name: median(values) for name, values in every.items()}
    print(", ".join(f"{name} {value:.1f} µs" for name, value in taken.items()))
    late = sorted(every["by key"])[-len(every["by key"]) // 100]
    return [
        ("vector by key, p50 in µs", taken["by key"], "<= 25"),
        ("vector by key, p99 in µs", late, "<= 1000"),
        ("newest vector, p50 in µs", taken["newest"], "<= 25"),
        ("the guide's get_feature_vector by key, p50 in µs", taken["guide's by key"], "<= 25"),
        ("the guide's get_feature_vector, newest, p50 in µs", taken["guide's newest"], "<= 25"),
        ("vector by key / one row of bytes from bare SQLite", taken["by key"] / taken["bare SQLite"], "told"),
        ("DuckDB point query / vector by key", taken["DuckDB"] / taken["by key"], ">= 50"),
        ("47 features in pandas from raw candles / stored vector", computed_in_pandas(scale), ">= 50"),
        ("100 vectors of one file / one", taken["100 of a file"] / taken["by key"], "<= 10"),
        ("100 vectors among all / one", taken["100 by key"] / taken["by key"], "<= 10"),
        ("the same as a list of vectors / one", taken["100 as a list"] / taken["by key"], "told"),
        ("100 vectors, p50 in µs", taken["100 by key"], "<= 250, ten times the bar of one"),
        ("100 of the guide's get_feature_vectors, p50 in µs", taken["guide's 100"], "as above"),
    ]


def computed_in_pandas(scale: float) -> float:
    """What ``btcfs bench online`` prints: the guide's way, pandas over the full history, to a stored vector."""
    candles = market(max(600, int(3_900 * scale)))
    with tempfile.TemporaryDirectory() as folder, connect(Path(folder) / "store") as store:
        filled(store, FrameSource(candles), days=30)
        view, group = inference_view(store), candle_group("1d", None)
        found = measure(store, view, group, "BTC-USD", installed_plugins(), 200, pandas_features)
    return float(found["faster"])


def one_row_table(path: Path) -> sqlite3.Connection:
    """Rows of as many bytes as a vector has, in SQLite and nothing around it: how fast this machine is just now."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute(
        "CREATE TABLE one (entity TEXT, ts INTEGER, payload BLOB, PRIMARY KEY (entity, ts)) WITHOUT ROWID"
    )
    rows = (("BTC-USD", n, bytes(8 * len(GROUP.feature_names))) for n in range(2_000))
    with connection:
        connection.executemany("INSERT INTO one VALUES (?, ?, ?)", rows)
    return connection


def interleaved(acts: dict[str, Callable[[int], object]], rounds: int) -> dict[str, list[float]]:
    """Microseconds of every call, in turns of some calls each, so that a busy machine slows all of them alike."""
    taken: dict[str, list[float]] = {name: [] for name in acts}
    for start in range(0, rounds, TURN):
        for name, act in acts.items():
            for n in range(start, start + TURN):
                begun = time.perf_counter_ns()
                act(n)
                taken[name].append((time.perf_counter_ns() - begun) / 1_000)
    return taken


if __name__ == "__main__":
    for name, value, bar in main():
        print(f"{name:40} {value:8.2f}   {bar}")
