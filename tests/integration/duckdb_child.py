"""Processes that write, read and die, for the tests of the DuckDB backend: python duckdb_child.py ACT FOLDER [ARGUMENT]."""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from btcfs.definitions import Feature, FeatureGroup, FeatureView
from btcfs.store import FeatureStore
from btcfs_duckdb import connect, offline
from btcfs_duckdb.places import Places
from btcfs_duckdb.store import DuckDBStore

sys.path.insert(0, str(Path(__file__).parents[1]))
from forking import forked

GROUP = FeatureGroup("g", 1, [Feature("value"), Feature("other")], interval="1h")
VIEW = FeatureView("v", 1, [GROUP.ref], ["other", "value"])
SYMBOLS = tuple(f"COIN-{n}" for n in range(5))
IMPORTED_ONCE = offline  # by the process that forks, so that its children start at once
START = pd.Timestamp("2024-01-01", tz="UTC")


class DyingStore(DuckDBStore):
    """Ends like a process that lost its power, between the offline commit and the online one."""

    def _committed_offline(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


def commit(number: int) -> pd.DataFrame:
    """One row per symbol that each commit replaces, and one row that it adds; all hold the commit's number."""
    replaced = pd.DataFrame({"symbol": SYMBOLS, "timestamp": START})
    added = pd.DataFrame({"symbol": ["LOG"], "timestamp": [START + pd.Timedelta(hours=number)]})
    return pd.concat([replaced, added], ignore_index=True).assign(value=float(number), other=-float(number))


def prepare(folder: Path) -> None:
    with connect(folder) as store:
        store.apply(GROUP)
        store.apply(VIEW)
        store.write(GROUP, commit(0))


def newest(store: FeatureStore) -> set[float]:
    """The values that one call of the online table shows."""
    vectors = store.get_online_features(VIEW, [{"symbol": symbol} for symbol in SYMBOLS])
    return {float(vector.values[1]) for vector in vectors} | {-float(vector.values[0]) for vector in vectors}


def state(folder: Path) -> dict[str, Any]:
    """What the store holds, and whether its two halves agree."""
    with connect(folder) as store:
        rows = store.read(GROUP)
        log = rows[rows["symbol"] == "LOG"]
        keys = rows[["symbol", "timestamp"]].to_dict("records")
        vectors = store.get_online_features(VIEW, keys)
        return {
            "value": sorted({*rows[rows["symbol"] != "LOG"]["value"], *newest(store)}),
            "log": log["value"].tolist(),
            "equal": [v.values.tolist() for v in vectors] == rows[["other", "value"]].to_numpy().tolist(),
            "repairs": dict(store.repairs),
        }


def write_for_ever(folder: Path, say: Callable[[float], object]) -> None:
    with connect(folder) as store:
        number = int(store.read(GROUP, entity={"symbol": "LOG"})["value"].max())
        say(number)
        while True:
            number += 1
            store.write(GROUP, iter([commit(number).iloc[:3], commit(number).iloc[3:]]))
            say(number)


def watch(folder: Path, thorough: bool, stopped: Callable[[], bool]) -> dict[str, Any]:
    """Look again and again until stopped; what is wrong with what was seen."""
    seen, last = 0, 0.0
    with connect(folder) as store:
        while not stopped():
            values = newest(store)
            if thorough:
                rows = store.read(GROUP)
                held = set(rows[rows["symbol"] != "LOG"]["value"])
                if len(held) != 1 or max(rows["value"]) not in held:
                    return {"wrong": f"offline showed {held}"}
            if len(values) != 1 or max(values) < last:
                return {"wrong": f"online showed {values} after {last}"}
            seen, last = seen + 1, max(values)
            time.sleep(0.02 if thorough else 0.001)  # so that the writer gets its share of the machine
        return {"seen": seen, "last": last, "repairs": dict(store.repairs)}


def answer(pipe: int) -> Any:
    with os.fdopen(pipe) as file:
        return json.loads(file.read() or "null")


def killed_rounds(folder: Path, rounds: int) -> dict[str, Any]:
    """Kill a writer at a random moment, look, and again; meanwhile four readers watch. This process opens no store."""
    random.seed(7)
    prepared, pipe = forked(lambda write: prepare(folder))
    os.waitpid(prepared, 0)
    os.close(pipe)
    flag = folder / "stop"

    def reader(thorough: bool) -> Callable[[int], None]:
        def look(write: int) -> None:
            os.write(write, json.dumps(watch(folder, thorough, flag.exists)).encode())

        return look

    readers = [forked(reader(thorough)) for thorough in (False, False, True, True)]
    problems: list[str] = []
    repaired, acknowledged = 0, 0.0
    for _ in range(rounds):

        def writer(write: int) -> None:
            write_for_ever(folder, lambda number: os.write(write, f"{number}\n".encode()))

        child, pipe = forked(writer)
        with os.fdopen(pipe) as said:
            said.readline()  # it has begun; how long one commit takes tells when to kill it
            begun = time.monotonic()
            first = said.readline()
            taken = time.monotonic() - begun
            time.sleep(random.random() * 2.5 * taken)  # killed at another moment each time
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            lines = [first, *said.read().splitlines()]
        acknowledged = max(acknowledged, *(float(line) for line in lines if line.strip()))
        child, pipe = forked(lambda write: os.write(write, json.dumps(state(folder)).encode()) and None)
        found = answer(pipe)
        os.waitpid(child, 0)
        problems += judged(found, acknowledged)
        repaired += bool(found and found["repairs"])
    flag.touch()
    watched = [answer(pipe) for _, pipe in readers]
    for child, _ in readers:
        os.waitpid(child, 0)
    return {"problems": problems, "acknowledged": acknowledged, "repaired": repaired, "readers": watched}


def judged(found: dict[str, Any] | None, acknowledged: float) -> list[str]:
    if found is None:
        return ["the store could not be opened"]
    wrong = []
    if len(found["value"]) != 1:
        wrong.append(f"half a commit is visible: {found['value']}")
    if found["value"][-1] < acknowledged:
        wrong.append(f"commit {acknowledged} was acknowledged, {found['value']} is there")
    if found["log"] != [float(n) for n in range(len(found["log"]))] or found["log"][-1] != found["value"][-1]:
        wrong.append(f"rows are lost or repeated: {found['log']}")
    if not found["equal"]:
        wrong.append("the online table differs from the offline ones")
    return wrong


def die_between(folder: Path) -> None:
    store = DyingStore(Places(folder), 10.0, {})
    store.settle()
    store.write(GROUP, commit(1))


def hold(folder: Path) -> None:
    with connect(folder) as store, store.exclusive():
        sys.stdout.write("held\n")
        sys.stdout.flush()
        time.sleep(60)  # until it is killed


if __name__ == "__main__":
    act, folder = sys.argv[1], Path(sys.argv[2])
    if act == "killed-rounds":
        sys.stdout.write(json.dumps(killed_rounds(folder, int(sys.argv[3]))))
    elif act == "die-between":
        die_between(folder)
    elif act == "hold":
        hold(folder)
