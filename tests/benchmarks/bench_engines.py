"""Backfills on Spark, Ray and processes beside this process alone; and how time would go on with more workers."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pandas as pd

from btcfs.connection import open_engine, open_source
from btcfs.engines import Engine, in_order
from btcfs.instants import parse_instant
from btcfs.pipeline.candles import CandleArrays
from btcfs.pipeline.compute import FeatureBlock
from btcfs.pipeline.ingest import Ingest
from btcfs.pipeline.likeness import recipe
from btcfs.pipeline.markets import backfill_markets
from btcfs.pipeline.partitions import Partition, compute_partition, partitions
from btcfs.pipeline.plan import plan
from btcfs.pipeline.spread import Failed, Task, run
from btcfs.plugins import installed_plugins
from btcfs.sources import CandleRequest
from btcfs.store import FeatureStore
from btcfs_duckdb import connect

START = parse_instant("2021-01-01")
BARS = 200_000
MARKETS = 50
PLAN = plan(installed_plugins().indicators(), "1m")
WORKERS: dict[str, Callable[[int], dict[str, Any]]] = {
    "spark": lambda workers: {"master": f"local[{workers}]", "conf": {"spark.driver.memory": "3g"}},
    "ray": lambda workers: {"workers": workers},
    "processes": lambda workers: {"workers": workers},
}


def timed(task: Task) -> tuple[float, FeatureBlock | Failed]:
    """The features of a partition, and the seconds that they took on the worker."""
    begun = time.perf_counter()
    block = run(task)
    return time.perf_counter() - begun, block


@attrs.frozen
class Costs:
    """Seconds for one partition: of a worker's computing, of its way there and back, and of the driver's own work."""

    task: float
    transfer: float
    driver: float

    def projected(self, parts: int, workers: int, times: float = 1.0) -> float:
        """Seconds of a long run with workers that have processors of their own; with ``times`` as much to compute."""
        return parts * max(self.driver, (times * self.task + self.transfer) / workers)

    def saturated(self, times: float = 1.0) -> float:
        """How many workers keep the driver busy all the time: more of them change nothing."""
        return (times * self.task + self.transfer) / self.driver


@contextmanager
def engine_of(name: str, workers: int) -> Iterator[Engine]:
    engine = open_engine(name, WORKERS[name](workers))
    assert engine is not None
    try:
        yield engine
    finally:
        engine.close()


def ingest_into(store: FeatureStore, engine: Engine | None) -> Ingest:
    return Ingest(store, open_source("sample", installed_plugins(), {}), interval="1m", engine=engine)


def backfilled(store: FeatureStore, engine: Engine | None, symbols: list[str], bars: int) -> float:
    """Seconds of a backfill of these markets, fetching and validating included."""
    begun = time.perf_counter()
    backfill_markets(ingest_into(store, engine), symbols, START, end_of(bars))
    return time.perf_counter() - begun


def end_of(bars: int) -> datetime:
    return START + timedelta(minutes=bars)


def warmed(engine: Engine, task: Task) -> None:
    """Every worker has loaded the plugins and proved itself, as far as the engine spreads tasks evenly."""
    for _, pending in in_order(engine, timed, [task] * 4 * engine.workers):
        pending.result()


def alone(engine: Engine, tasks: list[Task]) -> tuple[float, float]:
    """(seconds of the workers' computing, seconds of the way) for a partition, one at a time."""
    begun, computing = time.perf_counter(), 0.0
    for task in tasks:
        seconds, block = engine.submit(timed, task).result()
        assert not isinstance(block, Failed), block
        computing += seconds
    return computing / len(tasks), (time.perf_counter() - begun - computing) / len(tasks)


def together(engine: Engine, tasks: list[Task]) -> float:
    """Seconds until all results are at the driver, which does nothing with them."""
    begun = time.perf_counter()
    for _, pending in in_order(engine, timed, tasks):
        pending.result()
    return time.perf_counter() - begun


def same(one: FeatureStore, other: FeatureStore, symbols: list[str]) -> bool:
    """Whether both stores have the same rows of each market, bit for bit."""
    group = ingest_into(one, None).feature_group
    for symbol in symbols:
        left, right = (store.read(group, entity={"symbol": symbol}) for store in (one, other))
        keys = [name for name in group.columns if name not in group.feature_names]
        if len(left) != BARS or not left[keys].equals(right[keys]):
            return False
        for name in group.feature_names:
            if not np.array_equal(left[name].to_numpy().view("int64"), right[name].to_numpy().view("int64")):
                return False
    return True


def sample_parts() -> list[Partition]:
    request = CandleRequest("AAA-USD", "1m", start=START - timedelta(days=30), end=end_of(BARS))
    frames = open_source("sample", installed_plugins(), {}).fetch(request).frames
    candles = CandleArrays.from_frame(pd.concat(list(frames)), "1m")
    return list(partitions(PLAN, "AAA-USD", candles, START, end_of(BARS)))


def simulated(name: str, root: Path, rows: list[tuple[str, float, str]]) -> None:
    """Measure an engine with one worker and with two, print what more would bring, and add the ratios."""
    parts = sample_parts()
    tasks = [Task(recipe(PLAN, installed_plugins()), part) for part in parts] * 2
    begun = time.perf_counter()
    for part in parts:
        compute_partition(PLAN, part)
    here = (time.perf_counter() - begun) / len(parts)
    symbols = ["AAA-USD", "BBB-USD"]
    with connect(root / f"{name}-local") as store:
        local = backfilled(store, None, symbols, BARS)
    count = len(parts) * len(symbols)
    measured: dict[int, tuple[float, float, Costs]] = {}
    for workers in (1, 2):
        with engine_of(name, workers) as engine, connect(root / f"{name}-{workers}") as store:
            warmed(engine, tasks[0])
            task, way = alone(engine, tasks)
            spread = together(engine, tasks)
            whole = backfilled(store, engine, symbols, BARS)
            measured[workers] = (spread, whole, Costs(task, way, local / count - here))
    costs = measured[1][2]
    print(
        f"{name}: a partition of {len(parts[0]):,} rows takes {costs.task:.3f} s on the worker, {costs.transfer:.3f} s on its "
        f"way there and back, {costs.driver:.3f} s of the driver (fetching, validating, writing); here alone {here:.3f} s"
    )
    for workers, (spread, whole, _) in measured.items():
        print(
            f"{name}: {workers} workers on {os.cpu_count()} processors, {count} partitions: computing alone {spread:.2f} s, "
            f"whole backfill {whole:.2f} s (locally {local:.2f} s)"
        )
    for times, what in ((1.0, "the 47 features"), (20.0, "features that cost 20 times as much")):
        shown = ", ".join(f"{w}: {costs.projected(1_000, w, times):,.0f} s" for w in (1, 2, 4, 8, 16, 32))
        print(
            f"{name}: {what}, 1,000 partitions by workers with processors of their own: {shown}; the driver is saturated "
            f"by {costs.saturated(times):.1f} workers"
        )
    rows += [
        (f"{name}: computing alone, 1 worker / 2 workers", measured[1][0] / measured[2][0], "shown"),
        (f"{name}, 2 workers: small backfill / local", measured[2][1] / local, "shown"),
        (f"{name}: workers that saturate the driver", costs.saturated(), "shown"),
    ]


def full(name: str, markets: int, root: Path, rows: list[tuple[str, float, str]]) -> None:
    """The issue's bar: so many markets of 200,000 bars on the engine and locally, the stores compared bit by bit."""
    symbols = [f"M{number:02d}-USD" for number in range(markets)]
    with connect(root / "full-local") as one, connect(root / "full-spread") as other:
        local = backfilled(one, None, symbols, BARS)
        with engine_of(name, 2) as engine:
            spread = backfilled(other, engine, symbols, BARS)
        equal = same(one, other, symbols)
    print(
        f"{name}: {markets} markets x {BARS:,} bars: {spread:.1f} s, locally {local:.1f} s; bit for bit equal: {equal}"
    )
    rows += [
        (f"{name}: {markets} x {BARS:,} bars / local", spread / local, "shown"),
        (f"{name}: stores equal bit for bit", float(equal), "== 1"),
    ]


def main(scale: float = 1.0, names: tuple[str, ...] = tuple(WORKERS)) -> list[tuple[str, float, str]]:
    """The simulation of each engine, and the full run on the first of them."""
    folder = str(Path(__file__).parent)
    sys.path.insert(0, folder)
    os.environ["PYTHONPATH"] = os.pathsep.join([folder, *filter(None, [os.environ.get("PYTHONPATH")])])
    rows: list[tuple[str, float, str]] = []
    with tempfile.TemporaryDirectory() as root:
        full(names[0], max(2, int(MARKETS * scale)), Path(root), rows)
    for name in names:
        with tempfile.TemporaryDirectory() as root:
            simulated(name, Path(root), rows)
    return rows


if __name__ == "__main__":
    import bench_engines

    chosen = tuple(sys.argv[2:]) or tuple(WORKERS)
    for text, ratio, bar in bench_engines.main(float(sys.argv[1]) if len(sys.argv) > 1 else 1.0, chosen):
        print(f"{text:60} {ratio:8.3g}   {bar}")
