"""The prediction log's other process: the same rows, nothing lost when it goes, nothing left when the log stops."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from btcfs import memory
from btcfs.connection import connect
from btcfs.instants import now, to_micros
from btcfs.online.computed import Candle
from btcfs.serving.prediction_log import MANY, PREDICTIONS, Logged, PredictionLog
from btcfs.serving.prediction_rows import frame_of, logged_candle, vector_of

pytest.importorskip("msgspec", reason="msgspec is in the extra 'serve'")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Any]:
    with connect("duckdb", path=tmp_path / "store") as opened:
        yield opened


def test_a_large_batch_is_written_by_another_process(store: Any) -> None:
    """Its rows are, bit for bit, those that this process would have written; the process ends with the log."""
    given = [prediction(number) for number in range(MANY * 3)]
    log = PredictionLog(store)
    log.start()
    for each in given:
        log.add(each)
    assert log.flush() is True
    pids = children()
    log.stop()

    assert len(pids) == 1
    assert children() == []
    assert (log.written, log.dropped, log.waiting) == (len(given), 0, 0)
    read = store.read(PREDICTIONS).set_index("prediction_id")
    expected = frame_of(given).set_index("prediction_id").loc[read.index]
    for name in read.columns:
        assert read[name].tolist() == expected[name].tolist() or name == "fallback_reason"
    for each in given:
        row = read.loc[each.prediction_id]
        assert vector_of(row["vector"]).tobytes() == each.values.tobytes()
        assert logged_candle(row["candle"]) == each.candle


def test_a_process_that_was_killed_loses_nothing(store: Any) -> None:
    """What it may not have written is kept, and given to the next one."""
    log = PredictionLog(store)
    for number in range(MANY):
        log.add(prediction(number))
    assert log.flush() is True
    [pid] = children()
    os.kill(pid, signal.SIGKILL)
    for number in range(MANY, 2 * MANY):
        log.add(prediction(number))

    while not log.flush():  # the first attempt may meet the dying process
        assert log.dropped == 0
    log.start()
    log.stop()
    assert (log.written, log.dropped) == (2 * MANY, 0)
    assert len(store.read(PREDICTIONS)) == 2 * MANY


def test_a_store_in_memory_is_written_here() -> None:
    """A store that no other process can open gets large batches all the same."""
    store = memory.connect()
    log = PredictionLog(store)
    for number in range(MANY + 1):
        log.add(prediction(number))

    assert log.flush() is True
    assert children() == []
    assert len(store.read(PREDICTIONS)) == MANY + 1


def test_what_waits_takes_no_more_than_its_bound(store: Any) -> None:
    """Beyond the capacity predictions are dropped and counted, whatever the size of the pieces they wait in."""
    log = PredictionLog(store, capacity=1_000)
    for number in range(1_500):
        log.add(prediction(number))

    assert (log.waiting, log.dropped) == (1_000, 500)
    log.start()
    log.stop()
    assert (log.written, log.waiting) == (1_000, 0)


def prediction(number: int) -> Logged:
    """One whose numbers need every bit."""
    random = np.random.default_rng(number)
    at = to_micros(now()) - number
    low, high = sorted((random.random(2) * 1e5 + 1).tolist())
    candle = Candle(at, low, high, low, high, float(random.random())) if number % 2 else None
    return Logged(
        f"p{number:06d}", at, "BTC-USD", at, at, 1, "v", "view", 1, "f", "cache", "why" if number % 3 else None,
        float(random.random()), float(random.standard_normal()), 0.02, random.standard_normal(47), candle,
    )  # fmt: skip


def children() -> list[int]:
    """The processes that this one started and that still run."""
    found = []
    for task in Path("/proc/self/task").iterdir():
        found += [int(pid) for pid in (task / "children").read_text().split()]
    return [pid for pid in found if b"log_writer" in Path(f"/proc/{pid}/cmdline").read_bytes()]


if not Path("/proc/self/task").exists():
    pytest.skip("needs /proc to see the other process", allow_module_level=True)
