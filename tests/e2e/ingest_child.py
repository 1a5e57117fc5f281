"""Ingests that are killed again and again while others read: python ingest_child.py FOLDER KILLS; prints JSON."""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from btcfs import connect
from btcfs.catalogue import find_view
from btcfs.connection import open_source
from btcfs.definitions import FeatureView
from btcfs.instants import parse_instant
from btcfs.pipeline.ingest import Ingest
from btcfs.plugins import installed_plugins
from btcfs_duckdb import offline

sys.path.insert(0, str(Path(__file__).parents[1]))
from forking import forked

READERS = 4
START = parse_instant("2024-01-01")
# Imported once, by the process that forks, so that its children start at once.
IMPORTED_ONCE = offline, installed_plugins().indicators()
SOURCE = open_source("sample", installed_plugins(), {"seed": 7})


def ingest(path: Path, now: datetime, days: int) -> None:
    """A store of so many days of hourly candles, and the view ``newest`` of it."""
    with connect("duckdb", path=path) as store:
        job = Ingest(store, SOURCE, interval="1h", now=now)
        job.historical(days)
        store.apply(newest(job))


def newest(job: Ingest) -> FeatureView:
    return FeatureView("newest", 1, [job.feature_group.ref], ["close", "hour_of_day", "rsi_14"])


def write_for_ever(path: Path, first: int, say: Callable[[str], object]) -> None:
    """Ingest day after day, and say each that was acknowledged."""
    with connect("duckdb", path=path) as store:
        say("ready")
        for day in range(first, first + 1000):
            Ingest(store, SOURCE, interval="1h", now=START + timedelta(days=day)).daily()
            say(str(day))


def watch(path: Path, stopped: Callable[[], bool]) -> int:
    """How often the newest vector was read until stopped: days come whole, later ones after earlier ones."""
    with connect("duckdb", path=path) as store:
        view = find_view(store.definitions(), "newest")
        seen, last = 0, None
        while not stopped():
            [vector] = store.get_online_features(view, [{"symbol": "BTC-USD"}])
            assert vector.event_time.hour == 0, f"half a day is visible: {vector.event_time}"
            assert last is None or vector.event_time >= last, "went back in time"
            assert (vector.values == vector.values).all()
            last, seen = vector.event_time, seen + 1
            time.sleep(0.005)  # leaves the processors to the writer
    return seen


def killed(path: Path, done: int, after: float | None) -> tuple[int, float]:
    """Ingest from the day after ``done`` on, killed so many seconds after the start or after the first day is done.

    The last acknowledged day, and how long the first one took.
    """
    child, pipe = forked(
        lambda write: write_for_ever(path, done + 1, lambda text: os.write(write, f"{text}\n".encode()))
    )
    with os.fdopen(pipe) as said:
        assert said.readline() == "ready\n"
        begun = time.perf_counter()
        first = said.readline() if after is None else ""
        time.sleep(after or 0)  # so that it is killed at another moment each time
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        days = [int(line) for line in (first, *said) if line.strip()]
    return max([done, *days]), time.perf_counter() - begun


def killed_rounds(path: Path, kills: int) -> dict[str, Any]:
    """Kill an ingest at so many random moments while readers watch. This process opens no store."""
    prepared, pipe = forked(lambda write: ingest(path, START, days=20))
    os.close(pipe)
    os.waitpid(prepared, 0)
    stop = path.with_name("stop")
    readers = [forked(lambda write: os.write(write, str(watch(path, stop.exists)).encode())) for _ in range(READERS)]
    done, typical = killed(path, 0, None)
    chance = random.Random(7)
    for _ in range(kills):
        done, _ = killed(path, done, chance.uniform(0, 2.5 * typical))
    stop.touch()
    seen = []
    for child, pipe in readers:
        with os.fdopen(pipe) as said:
            seen.append(int(said.read() or 0))
        os.waitpid(child, 0)
    return {"done": done, "seen": seen}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(killed_rounds(Path(sys.argv[1]), int(sys.argv[2]))))
