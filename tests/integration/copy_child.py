"""Copies that are killed again and again: python copy_child.py FOLDER ROWS COMMITS KILLS SIZE ROUTE [SEED]; prints JSON.

The route is ``duckdb``, from one DuckDB store to another, or ``feast``, with a Feast repository in a Postgres between them.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from btcfs.definitions import Feature, FeatureGroup, FeatureView
from btcfs.store import FeatureStore
from btcfs.transfer.copying import copy_store
from btcfs.transfer.diffing import diff_stores
from btcfs.transfer.plan import CopyPlan
from btcfs_duckdb import connect, offline

sys.path.insert(0, str(Path(__file__).parents[1]))
import servers
from forking import forked
from repositories import all_in_postgres

GROUP = FeatureGroup("bitcoin", 1, [Feature(f"f_{n}") for n in range(47)], interval="1m")
VIEW = FeatureView("newest", 1, [GROUP.ref], GROUP.feature_names)
IMPORTED_ONCE = offline  # by the process that forks, so that its children start at once
START = pd.Timestamp("2020-01-01", tz="UTC")


def rows(count: int, first: int, seed: int) -> pd.DataFrame:
    generator = np.random.default_rng(seed)
    minutes = pd.date_range(START, periods=count, freq="min") + pd.Timedelta(minutes=first)
    features = {name: generator.normal(size=count) for name in GROUP.feature_names}
    features["f_3"][generator.random(count) < 0.1] = np.nan
    return pd.DataFrame({"symbol": "BTC-USD", "timestamp": minutes, **features})


def prepare(folder: Path, count: int, commits: int) -> None:
    """A source with one commit of so many rows, and commits after it that correct the end of it and go on."""

    def parts() -> Iterator[pd.DataFrame]:
        for first in range(0, count, 100_000):
            yield rows(min(100_000, count - first), first, first)

    with connect(folder / "source") as store:
        store.apply(GROUP)
        store.apply(VIEW)
        store.write(GROUP, parts())
        for number in range(commits):
            store.write(GROUP, rows(30, count + 10 * (number - 1), number))


def opened(stack: ExitStack, folder: Path) -> Sequence[FeatureStore]:
    """The stores on the way, from the first to the last."""
    stores: list[FeatureStore] = [stack.enter_context(connect(folder / "source"))]
    if (folder / "repo").exists():
        import btcfs_feast

        stores.append(stack.enter_context(btcfs_feast.connect(folder / "repo", timeout=60.0)))
    return [*stores, stack.enter_context(connect(folder / "target"))]


def copy(folder: Path, size: int, say: Callable[[], object]) -> None:
    def begun(plan: CopyPlan) -> None:
        say()

    with ExitStack() as stack:
        for number, (source, target) in enumerate(pairwise(opened(stack, folder))):
            copy_store(source, target, journal=folder / f"{number}.journal", size=size, begun=begun)


def judged(folder: Path) -> list[str]:
    """What is wrong with a finished copy at any of its stations: rows now and at each commit, vectors, commits."""
    with ExitStack() as stack:
        source, *others = opened(stack, folder)
        return [problem for target in others for problem in compared(source, target)]


def compared(source: FeatureStore, target: FeatureStore) -> list[str]:
    wrong = []
    commits = list(source.commits(GROUP))
    if commits != list(target.commits(GROUP)):
        wrong.append(f"commits of {target.name}: {target.commits(GROUP)}")
    for as_of in (None, *(commit.committed_at for commit in (commits[0], commits[len(commits) // 2]))):
        found = diff_stores(source, target, as_of=as_of)
        if not found.equal:
            wrong.append(f"rows of {target.name} as of {as_of}: {found.to_dict()}")
    count = source.summary(GROUP).rows
    keys = [
        {"symbol": "BTC-USD", "timestamp": (START + pd.Timedelta(minutes=m)).to_pydatetime()}
        for m in range(0, count, max(1, count // 200))
    ]
    one, other = (store.get_online_features(VIEW, keys) for store in (source, target))
    if [v.values.tobytes() for v in one] != [v.values.tobytes() for v in other]:
        wrong.append(f"vectors of {target.name} differ")
    return wrong


def done(act: Callable[[], Any]) -> Any:
    """What an act in a process of its own gives."""
    child, pipe = forked(lambda write: os.write(write, json.dumps(act()).encode()) and None)
    with os.fdopen(pipe) as file:
        text = file.read()
    os.waitpid(child, 0)
    return json.loads(text or '["died"]')


def attempt(folder: Path, size: int, after: float | None) -> tuple[bool, float, int]:
    """Copy, killed so many seconds after it began to; whether it came to its end, how long it took, its exit status."""
    child, pipe = forked(lambda write: copy(folder, size, lambda: os.write(write, b"x")))
    with os.fdopen(pipe, "rb", buffering=0) as said:
        said.read(1)
        begun = time.monotonic()
        if after is not None:
            time.sleep(after)  # so that it is killed at another moment each time
            os.kill(child, signal.SIGKILL)
        said.read()
    _, status = os.waitpid(child, 0)
    return os.WIFEXITED(status), time.monotonic() - begun, os.WEXITSTATUS(status) if os.WIFEXITED(status) else 0


def killed_rounds(folder: Path, kills: int, size: int, seed: int) -> dict[str, Any]:
    """Kill copies at random moments, resume them, and judge each that came to its end; every third time the journal is lost."""
    chance = random.Random(seed)
    problems: list[str] = []
    _, typical, _ = attempt(folder, size, None)
    problems += done(lambda: judged(folder))
    killed = copies = lost = 0
    clear(folder)
    while killed < kills:
        ended, _, status = attempt(folder, size, chance.uniform(0, typical))
        if status:
            problems.append("a copy failed")
            break
        if not ended:
            killed += 1
            if killed % 3 == 0:
                lose_journals(folder)
                lost += 1
            continue
        copies += 1
        problems += done(lambda: judged(folder))
        clear(folder)
    ended, _, status = attempt(folder, size, None)
    problems += done(lambda: judged(folder))
    return {
        "problems": problems, "killed": killed, "copies": copies + ended, "journals_lost": lost,
        "typical_s": round(typical, 2), "status": status,
    }  # fmt: skip


def clear(folder: Path) -> None:
    """Empty every store but the first."""
    shutil.rmtree(folder / "target", ignore_errors=True)
    lose_journals(folder)
    if (folder / "port").exists():
        shutil.rmtree(folder / "repo", ignore_errors=True)
        all_in_postgres(folder / "repo", int((folder / "port").read_text()))


def lose_journals(folder: Path) -> None:
    for journal in folder.glob("*.journal"):
        journal.unlink()


def main(folder: Path, count: int, commits: int, kills: int, size: int, route: str, seed: int) -> dict[str, Any]:
    with ExitStack() as stack:
        if route == "feast":
            import feast  # noqa: F401 - takes seconds, so it is imported once, by the process that forks

            (folder / "port").write_text(str(stack.enter_context(servers.postgres())))
        clear(folder)
        done(lambda: prepare(folder, count, commits))
        return killed_rounds(folder, kills, size, seed)


if __name__ == "__main__":
    numbers = [int(text) for text in sys.argv[2:6]]
    found = main(Path(sys.argv[1]), *numbers, route=sys.argv[6], seed=int(sys.argv[7]) if len(sys.argv) > 7 else 7)
    sys.stdout.write(json.dumps(found) + "\n")
