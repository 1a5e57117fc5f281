"""The point-in-time join beside DuckDB's ASOF JOIN and polars' join_asof: 1M spine rows, 1M feature rows, 47 columns.

Each starts from rows in memory in its own form and ends with a whole frame or table of its own; what a
backend needs to read its rows from a disk comes on top of ours.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Mapping
from statistics import median
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa

from btcfs import catalogue, point_in_time
from btcfs.definitions import Feature, FeatureGroup, FeatureView

ROWS, COLUMNS, ROUNDS = 1_000_000, 47, 5
MINUTE = 60_000_000
GROUP = FeatureGroup("minutes", 1, [Feature(f"f_{n}") for n in range(COLUMNS)], interval="1m")
VIEW = catalogue.resolve([GROUP], FeatureView("view", 1, [GROUP.ref], GROUP.feature_names))
ASOF = (
    f"SELECT asked.*, {', '.join(f'known.{name}' for name in GROUP.feature_names)} FROM asked ASOF LEFT JOIN known "
    "ON asked.symbol = known.symbol AND asked.event_time >= known.event_time"
)


def main(scale: float = 1.0) -> list[tuple[str, float, str]]:
    """(what, ratio of our time to theirs, bar) for a sorted and a shuffled spine, and the medians in seconds."""
    count = max(int(ROWS * scale), 1000)
    draw = np.random.default_rng(0)
    rows = feature_rows(draw, count)
    results = []
    for name, instants in spines(draw, count).items():
        spine = pd.DataFrame(
            {"symbol": ["BTC-USD"] * count, "event_time": pd.to_datetime(instants, unit="us", utc=True).as_unit("us")}
        )
        times = measured(competitors(spine, rows))
        # Ours as the embedded backend calls it, with the Arrow table that it reads, against their fastest way.
        ours = times["btcfs from a table"]
        for theirs, bar in (("duckdb", "<= 0.5"), ("polars", "<= 1.0")):
            best = min(seconds for contestant, seconds in times.items() if contestant.startswith(theirs))
            results.append((f"{name} spine: btcfs from a table / {theirs} at its fastest", ours / best, bar))
        results += [(f"{name} spine: {contestant}, seconds", seconds, "") for contestant, seconds in times.items()]
    return results


def feature_rows(draw: np.random.Generator, count: int) -> pd.DataFrame:
    closes = pd.to_datetime(np.arange(1, count + 1) * MINUTE, unit="us", utc=True).as_unit("us")
    values = pd.DataFrame(draw.normal(size=(COLUMNS, count)).T, columns=list(GROUP.feature_names))
    return pd.concat([pd.DataFrame({"symbol": ["BTC-USD"] * count, "event_time": closes}), values], axis=1)


def spines(draw: np.random.Generator, count: int) -> dict[str, Any]:
    instants = draw.integers(-MINUTE, count * MINUTE, count)
    return {"sorted": np.sort(instants), "shuffled": instants}


def competitors(spine: pd.DataFrame, rows: pd.DataFrame) -> Mapping[str, Callable[[], Any]]:
    """The same join from data that each has at hand: frames, Arrow tables, DuckDB tables, polars frames."""
    row_table = pa.Table.from_pandas(rows, preserve_index=False)
    spine_table = pa.Table.from_pandas(spine, preserve_index=False)
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute("SET enable_progress_bar = false")
    connection.execute("CREATE TABLE known AS SELECT * FROM row_table")
    connection.execute("CREATE TABLE asked AS SELECT * FROM spine_table")
    polars_rows, polars_spine = pl.from_arrow(row_table), pl.from_arrow(spine_table)
    assert isinstance(polars_rows, pl.DataFrame)
    assert isinstance(polars_spine, pl.DataFrame)

    def polars_join(**by: str) -> pl.DataFrame:
        in_order = polars_spine.with_row_index()
        if not polars_spine["event_time"].is_sorted():
            in_order = in_order.sort("event_time")
        joined = in_order.join_asof(polars_rows, on="event_time", **by, check_sortedness=False)
        return joined if polars_spine["event_time"].is_sorted() else joined.sort("index")

    return {
        "btcfs from a frame": lambda: point_in_time.join(VIEW, spine, lambda *_: rows),
        "btcfs from a table": lambda: point_in_time.join(VIEW, spine, lambda *_: row_table),
        "duckdb to Arrow": lambda: connection.sql(ASOF).to_arrow_table(),
        "duckdb to pandas": lambda: connection.sql(ASOF).df(),
        "polars": polars_join,
        "polars by symbol": lambda: polars_join(by="symbol"),
    }


def measured(contestants: Mapping[str, Callable[[], Any]]) -> dict[str, float]:
    """The median seconds of each, run in turns, all giving the same numbers."""
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    totals = {}
    # DuckDB's conversion to pandas uses what pandas has deprecated, and warns of it each time.
    warnings.simplefilter("ignore", DeprecationWarning)
    for _ in range(ROUNDS):
        for name, run in contestants.items():
            start = time.perf_counter()
            result = run()
            seconds[name].append(time.perf_counter() - start)
            totals[name] = total(result)
            del result
    first, *others = totals.values()
    for other in others:
        np.testing.assert_allclose(other, first, rtol=1e-9)
    return {name: median(times) for name, times in seconds.items()}


def total(result: Any) -> float:
    """The sum over a column, whatever kind of frame it stands in."""
    column = result["f_7"]
    values = (
        column.to_numpy(zero_copy_only=False) if isinstance(column, pa.ChunkedArray) else np.asarray(column.to_numpy())
    )
    return float(np.nansum(values.astype("float64")))


if __name__ == "__main__":
    for what, ratio, bar in main():
        print(f"{what:55} {ratio:6.2f}  {bar}")
