"""The predictor over HTTP beside a bare Starlette route that parses the same body and answers the same bytes."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
import numpy as np
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from btcfs.connection import connect
from btcfs.definitions import FeatureView, Label
from btcfs.training.bundle import save_bundle
from btcfs.training.registry import Registry
from conftest import FrameSource
from served import filled, inference_view, market
from under_ingest import serving

KINDS = ("bare", "uncached", "cached", "uncached unlogged", "cached unlogged")
LUA = """
local bodies = {{ {bodies} }}
local n = 0
request = function()
  n = n + 1
  return wrk.format("POST", "/predict", {{["Content-Type"] = "application/json"}}, bodies[n % #bodies + 1])
end
done = function(summary, latency, requests)
  local errors = summary.errors.status + summary.errors.connect + summary.errors.read + summary.errors.timeout
  io.write(string.format("RESULT %f %f %f %d\\n", summary.requests / (summary.duration / 1e6),
    latency:percentile(50), latency:percentile(99), errors))
end
"""


def main(scale: float = 1.0) -> list[tuple[str, float, str]]:
    if shutil.which("wrk") is None:
        raise SystemExit("bench_serving needs the load generator wrk (apt-get install wrk)")
    rounds, seconds = max(1, round(5 * scale)), max(1, round(3 * scale))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bodies = prepared(folder)
        script = folder / "load.lua"
        script.write_text(LUA.format(bodies=", ".join(f"[=[{body}]=]" for body in bodies)))
        with serving(folder / "store", folder / "models") as (port, pid):
            answered(port, bodies[0])
            memory = resident(pid)
        with servers(folder, bodies[0]) as ports:
            taken: dict[tuple[str, int], list[tuple[float, ...]]] = {}
            for _ in range(rounds):
                for clients in (1, 8):
                    for kind in KINDS:  # interleaved, so that a noisy neighbour disturbs all alike
                        port, process = ports[kind]
                        before = processor_micros(process.pid)
                        rate, p50, p99 = load(port, clients, seconds, script)
                        spent = (processor_micros(process.pid) - before) / (rate * seconds)
                        taken.setdefault((kind, clients), []).append((rate, p50, p99, spent))
                        if kind != "bare":
                            settled(port)  # what one still has to log shall not disturb the next
    return table(taken, memory)


def table(taken: dict[tuple[str, int], list[tuple[float, ...]]], memory: float) -> Any:
    figures = {key: [median(values) for values in zip(*rows, strict=True)] for key, rows in taken.items()}
    for (kind, clients), (rate, p50, p99, spent) in sorted(figures.items()):
        print(
            f"{kind:18} {clients} clients: {rate:8.0f} requests/s, p50 {p50:6.0f} µs, p99 {p99:6.0f} µs, "
            f"{spent:6.1f} µs of processor a request"
        )

    def share(kind: str, column: int = 0) -> float:
        pairs = zip(taken[kind, 8], taken["bare", 8], strict=True)
        return median(one[column] / other[column] for one, other in pairs)

    def spared(kind: str) -> float:
        return 1 / share(kind, 3)

    return [
        ("throughput, vector looked up / bare route, 8 clients", share("uncached"), ">= 0.5"),
        ("throughput, vector cached / bare route, 8 clients", share("cached"), ">= 0.7"),
        ("the same, looked up, without the prediction log", share("uncached unlogged"), "told"),
        ("the same, cached, without the prediction log", share("cached unlogged"), "told"),
        (
            "processor time of the bare route / looked up, 8 clients",
            spared("uncached"),
            "as the first, on a busy machine",
        ),
        ("processor time of the bare route / cached, 8 clients", spared("cached"), "as the second"),
        ("p99, vector looked up / bare route, 1 client", figures["uncached", 1][2] / figures["bare", 1][2], "<= 3"),
        ("p99, vector cached / bare route, 1 client", figures["cached", 1][2] / figures["bare", 1][2], "<= 3"),
        ("resident memory of btcfs serve at rest in MB", memory, "<= 250"),
    ]


def prepared(folder: Path) -> list[str]:
    """A filled store, and a request's body for each of its candles."""
    candles = market(2_000)
    with connect("duckdb", path=folder / "store", defaults={"symbol": "BTC-USD"}) as store:
        filled(store, FrameSource(candles), days=500)
        save_model(folder / "models", inference_view(store))
    names = ("open", "high", "low", "close", "volume")
    return [
        json.dumps({**{n: float(getattr(row, n)) for n in names}, "timestamp": row.timestamp.isoformat()})
        for row in candles.tail(200).itertuples()
    ]


def save_model(folder: Path, view: FeatureView) -> None:
    """An active bundle of a logistic and a ridge model, fitted on noise."""
    random = np.random.default_rng(0)
    X = random.standard_normal((500, len(view.features)))
    estimators = {
        "classification": make_pipeline(StandardScaler(), LogisticRegression()).fit(X, random.random(500) > 0.5),
        "regression": make_pipeline(StandardScaler(), Ridge()).fit(X, random.standard_normal(500)),
    }
    bundle = save_bundle(
        folder, estimators=estimators, view=view, label=Label(), parity_rows=X, metadata={}, metrics={}
    )
    Registry(folder).activate(bundle.version, checks=[], force_reason="a benchmark")


@contextmanager
def servers(folder: Path, body: str) -> Iterator[dict[str, tuple[int, subprocess.Popen[bytes]]]]:
    """One process a kind; the bare one answers what the predictor answered."""
    running: dict[str, tuple[int, subprocess.Popen[bytes]]] = {}
    try:
        for kind in (*KINDS[1:], "bare"):
            port = free_port()
            script = str(Path(__file__).with_name("serving_server.py"))
            own = folder / kind.replace(" ", "-")
            if kind != "bare":  # a store of its own, so that none reads what another's log has changed
                shutil.copytree(folder / "store", own / "store")
                shutil.copytree(folder / "models", own / "models")
            process = subprocess.Popen(
                [sys.executable, script, kind, str(folder if kind == "bare" else own), str(port)]
            )
            running[kind] = (port, process)
            answer = answered(port, body, process.poll)
            (folder / "answer.json").write_bytes(answer)
        yield running
    finally:
        for _, process in running.values():
            process.terminate()
        for _, process in running.values():
            process.wait(20)


def answered(port: int, body: str, ended: Callable[[], int | None] = lambda: None) -> bytes:
    """The first answer of a server that is starting; ``ended`` says when it is not."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}/predict", body.encode(), method="POST")
    for _ in range(300):
        if ended() is not None:
            raise SystemExit("a server ended before it answered")
        try:
            with urllib.request.urlopen(request) as response:
                return bytes(response.read())
        except OSError:
            time.sleep(0.1)
    raise SystemExit("a server did not answer within 30 s")


def load(port: int, clients: int, seconds: int, script: Path) -> tuple[float, float, float]:
    """Requests per second, and the median and 99th percentile of the latency in microseconds."""
    command = ["wrk", "-t1", f"-c{clients}", f"-d{seconds}s", "-s", str(script), f"http://127.0.0.1:{port}/predict"]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = re.search(r"RESULT (\S+) (\S+) (\S+) (\d+)", out)
    if found is None or found[4] != "0":
        raise SystemExit(f"the load on port {port} had failures: {out}")
    return float(found[1]), float(found[2]), float(found[3])


def settled(port: int) -> None:
    """Wait until the server has written what it logs."""
    for _ in range(300):
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as response:
            text = response.read().decode()
        waiting = re.search(r"^btcfs_prediction_log_waiting (\S+)", text, re.MULTILINE)
        if waiting is None or float(waiting[1]) == 0:
            return
        time.sleep(0.1)


def processor_micros(pid: int) -> float:
    """Processor time of a process so far in microseconds, which other programs on the machine disturb little.

    That of the process which writes predictions is not in it: it takes nothing from the requests.
    """
    status = Path(f"/proc/{pid}/stat")
    if not status.exists():
        return float("nan")
    user, system = status.read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK") * 1e6


def resident(pid: int) -> float:
    status = Path(f"/proc/{pid}/status")
    if not status.exists():
        return float("nan")
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    for name, value, bar in main(float(sys.argv[1]) if len(sys.argv) > 1 else 1.0):
        print(f"{name:60} {value:8.2f}   {bar}")
