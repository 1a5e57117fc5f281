"""A predictor in a process of its own, asked by many clients while another process commits: what each answer rests on."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs
import numpy as np

from btcfs.definitions import Label
from btcfs.store import FeatureStore
from served import inference_view

# Each commit gives the newest three candles the same number in every feature, so that a vector of two commits shows.
WRITER = """
import sys, time
from btcfs.catalogue import find_group
from btcfs.connection import connect
with connect("duckdb", path=sys.argv[1], lock_timeout=60) as store:
    group = find_group(store.definitions(), "bitcoin_features")
    rows = store.read(group).tail(3)
    for number in range(1, int(sys.argv[2]) + 1):
        values = {f.name: number if f.dtype == "int64" else float(number) for f in group.features if f.numeric}
        begun = time.time()
        store.write(group, rows.assign(**values))
        print(number, begun, time.time(), flush=True)
        time.sleep(max(0.0, begun + float(sys.argv[3]) - time.time()))  # the pace of commits that is asked for
"""


@attrs.frozen
class Answer:
    """One answer: when it was asked for and when it came, its status, and what it says."""

    path: str
    asked: float
    came: float
    status: int
    content: Any


@attrs.frozen
class Commit:
    """A commit: its number, which is the value of every feature, and when its call began and returned."""

    number: int
    begun: float
    done: float


@contextmanager
def serving(store: Path, models: Path) -> Iterator[tuple[int, int]]:
    """``btcfs serve`` over the store: its port and process id."""
    command = [
        sys.executable,
        "-c",
        "from btcfs.cli import main; main()",
        "serve",
        "--port",
        "0",
        "--models",
        str(models),
        "--json",
    ]
    environment = {**os.environ, "BTCFS_BACKEND": "duckdb", "BTCFS_DUCKDB_PATH": str(store)}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    try:
        assert process.stdout is not None
        text = process.stdout.readline()
        while not text.rstrip().endswith("}"):
            line = process.stdout.readline()
            assert line, f"the server ended: {text}"
            text += line
        port = int(json.loads(text)["url"].rpartition(":")[2])
        _until_ready(port, process)
        yield port, process.pid
    finally:
        process.terminate()
        process.wait(30)


def asked_while_committing(
    store: Path, port: int, requests: Mapping[str, Any], *, clients: int, commits: int, every: float
) -> tuple[list[Answer], list[Commit]]:
    """The answers to so many clients, who ask without a pause, and the commits made meanwhile.

    ``requests`` are paths, each with its body, or None to get it; each client stays with one of them.
    """
    return asyncio.run(_run(store, port, requests, clients, commits, every))


async def _run(
    store: Path, port: int, requests: Mapping[str, Any], clients: int, commits: int, every: float
) -> tuple[list[Answer], list[Commit]]:
    answers: list[Answer] = []
    over = asyncio.Event()
    kinds = list(requests.items())
    asking = [asyncio.create_task(_client(port, *kinds[n % len(kinds)], answers, over)) for n in range(clients)]
    writer = await asyncio.create_subprocess_exec(
        sys.executable, "-c", WRITER, str(store), str(commits), str(every), stdout=asyncio.subprocess.PIPE
    )
    assert writer.stdout is not None
    made = []
    async for line in writer.stdout:
        number, begun, done = line.split()
        made.append(Commit(int(number), float(begun), float(done)))
    assert await writer.wait() == 0
    await asyncio.sleep(0.2)  # so that some ask after the last commit
    over.set()
    await asyncio.gather(*asking)
    return answers, made


async def _client(port: int, path: str, body: Any, answers: list[Answer], over: asyncio.Event) -> None:
    content = b"" if body is None else json.dumps(body).encode()
    verb = "GET" if body is None else "POST"
    head = f"{verb} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(content)}\r\n\r\n".encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while not over.is_set():
        asked = time.time()
        writer.write(head + content)
        lines = (await reader.readuntil(b"\r\n\r\n")).decode().lower().split("\r\n")
        size = next(int(line.partition(":")[2]) for line in lines if line.startswith("content-length:"))
        given = await reader.readexactly(size)
        answers.append(Answer(path, asked, time.time(), int(lines[0].split()[1]), json.loads(given)))
    writer.close()


def untimely(number: int, answer: Answer, commits: list[Commit]) -> str | None:
    """Why an answer may not rest on that commit: it came before the commit began, or was asked for after a later one."""
    by_number = {commit.number: commit for commit in commits}
    if number and answer.came < by_number[number].begun:
        return f"commit {number} was seen {by_number[number].begun - answer.came:.3f} s before it began"
    later = [commit for commit in commits if commit.number > number and commit.done < answer.asked]
    if later:
        return f"commit {number} was seen {answer.asked - later[0].done:.3f} s after commit {later[0].number} returned"
    return None


def until_seen(numbers: list[tuple[int, Answer]], commits: list[Commit]) -> list[float]:
    """For each commit, the seconds from its return to the first answer that rests on it or a later one; 0 if before."""
    return [
        max(0.0, min(answer.came for number, answer in numbers if number >= commit.number) - commit.done)
        for commit in commits
    ]


def outputs(bundle: Any, store: FeatureStore, commits: int) -> dict[tuple[float, float], int]:
    """What the bundle's models answer on the vector of each commit; 0 is the vector of before."""
    view = inference_view(store)
    [before] = store.get_online_features(view, [{"symbol": "BTC-USD"}])
    vectors = {0: before.values, **{n: before.values * 0.0 + float(n) for n in range(1, commits + 1)}}
    return {
        (bundle.classification.predict(values), bundle.regression.predict(values)): number
        for number, values in vectors.items()
    }


def resting(answer: Answer, expected: dict[tuple[float, float], int], before: dict[str, float]) -> int:
    """The commit whose vector an answer shows or was predicted from."""
    content = answer.content
    if "features" in content:
        values = content["features"]
        if values == before:
            return 0
        assert len(set(values.values())) == 1, f"a vector of two commits: {values}"
        return int(next(iter(values.values())))
    output = (content["classification"]["probability"], content["regression"]["price_change_pct"])
    assert output in expected, f"a prediction from a vector that never was: {output}"
    return expected[output]


def saved(store: Any, folder: Path) -> Any:
    """An active bundle in that folder, of linear models whose output tells vectors apart."""
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    from btcfs.training.bundle import save_bundle
    from btcfs.training.registry import Registry

    random = np.random.default_rng(0)
    view = inference_view(store)
    rows = random.standard_normal((300, len(view.features))) * 30
    estimators = {
        "classification": make_pipeline(StandardScaler(), LogisticRegression()).fit(rows, random.random(300) > 0.5),
        "regression": make_pipeline(StandardScaler(), Ridge()).fit(rows, random.standard_normal(300)),
    }
    bundle = save_bundle(
        folder, estimators=estimators, view=view, label=Label(), parity_rows=rows, metadata={}, metrics={}
    )
    Registry(folder).activate(bundle.version, checks=[], force_reason="a test")
    return bundle


def _until_ready(port: int, process: subprocess.Popen[str]) -> None:
    import urllib.request

    for _ in range(300):
        assert process.poll() is None, "the server ended before it was ready"
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/ready") as response:
                response.read()
                return
        except OSError:
            time.sleep(0.1)
    raise AssertionError("the server was not ready within 30 s")
