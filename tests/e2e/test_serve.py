"""btcfs serve and btcfs replay as processes: the guide's request over a real socket, a clean end, and every prediction made again."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from btcfs.connection import connect, open_source
from btcfs.instants import parse_instant
from btcfs.pipeline.ingest import Ingest
from btcfs.plugins import installed_plugins
from guide import block

pytest.importorskip("sklearn", reason="scikit-learn is in the extra 'train'")
pytest.importorskip("uvicorn", reason="uvicorn is in the extra 'serve'")

BTCFS = [sys.executable, "-c", "from btcfs.cli import main; main()"]
NOW = parse_instant("2025-12-06T13:00:00Z")  # an hour after the candle in the guide's request
PATIENCE = 60


def btcfs(folder: Path, *arguments: str, code: int = 0) -> Any:
    """What the command writes as JSON, in a process of its own; its words if it fails."""
    done = subprocess.run(
        [*BTCFS, *arguments, "--json"], cwd=folder, env=environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == code, done.stderr
    return json.loads(done.stdout) if done.stdout else done.stderr


def environment(**more: str) -> dict[str, str]:
    return {**{name: value for name, value in os.environ.items() if not name.startswith("BTCFS_")}, **more}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which features were ingested on the day of the guide's request, and a model trained and forced."""
    folder = tmp_path_factory.mktemp("project")
    with connect("duckdb", path=folder / ".btcfs", defaults={"symbol": "BTC-USD"}) as store:
        Ingest(store, open_source("sample", installed_plugins(()), {"seed": 7}), now=NOW).historical(400)
    btcfs(folder, "ingest", "create-view")
    version = btcfs(folder, "train", "--folds", "1")["version"]
    assert btcfs(folder, "models", "activate", version, "--force", "a rehearsal")["forced"] == "a rehearsal"
    return folder


@contextmanager
def served(folder: Path, *options: str, **more: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """btcfs serve on a free port, and its URL once it answers."""
    command = [*BTCFS, "serve", "--port", "0", "--json", *options]
    process = subprocess.Popen(
        command, cwd=folder, env=environment(**more), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        written = ""
        while not written.rstrip().endswith("}"):
            line = process.stdout.readline()
            assert line, process.communicate()[1]
            written += line
        yield json.loads(written)["url"], process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def ask(url: str, body: Any = None, **headers: str) -> tuple[int, Any]:
    """The status and the JSON of an answer; a POST if there is a body."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, headers={"content-type": "application/json", **headers})
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as refused:
        return refused.code, json.load(refused)


def guides_request() -> tuple[str, Any]:
    """The guide's curl line, and the body in it."""
    line = block("bash", "Update FastAPI with Feature Store", "curl").code
    [body] = re.findall(r"-d '(.*?)'", line, re.DOTALL)
    return line, json.loads(body)


def test_the_guides_request_is_answered(project: Path) -> None:
    """The body of the guide's curl line gets the guide's answer and more; with curl at hand, the line itself does."""
    line, body = guides_request()
    with served(project, "--no-log") as (url, _):
        status, answer = ask(f"{url}/predict", body)
        by_curl = None
        if shutil.which("curl"):
            command = line.replace("http://localhost:8000", url)
            by_curl = json.loads(subprocess.run(["bash", "-c", command], capture_output=True, check=True).stdout)

    assert status == 200, answer
    assert set(answer["classification"]) == {"prediction", "direction", "probability"}
    assert set(answer["regression"]) == {"price_change_pct"}
    assert answer["feature_source"] == "local"  # the day of the request has not closed when it is ingested
    assert answer["timestamp"] == "2025-12-06T00:00:00Z"
    assert answer["latency_ms"] > 0
    if by_curl is not None:
        assert by_curl["classification"] == answer["classification"]
        assert by_curl["regression"] == answer["regression"]


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
def test_a_server_ends_clean_and_its_predictions_are_made_again(project: Path, sent: signal.Signals) -> None:
    """After the signal the exit code is 0, every answered prediction is logged, and replay finds each bit for bit."""
    _, body = guides_request()
    with served(project) as (url, process):
        answers = [ask(f"{url}/predict", asked)[1] for asked in ({}, {}, body, {"timestamp": "2025-11-03T05:00:00Z"})]
        process.send_signal(sent)
        assert process.wait(PATIENCE) == 0, process.communicate()[1]

    sources = [answer["feature_source"] for answer in answers]
    assert sources[0] in ("duckdb", "cache")
    assert sources[2] == "local"
    for answer in answers:
        again = btcfs(project, "replay", answer["prediction_id"])
        assert again["equal"]
        assert (again["output_equal"], again["vector_equal"]) == (True, True)
        assert again["replayed"]["probability"] == answer["classification"]["probability"]
        assert again["replayed"]["price_change_pct"] == answer["regression"]["price_change_pct"]


def test_predictions_outlive_a_server_that_is_killed(project: Path) -> None:
    """With a log that is written once a day, a kill loses no prediction that is on the disk: the next server writes it."""
    daily = ("--log-seconds", "86400")
    with served(project, *daily) as (url, process):
        answers = [ask(f"{url}/predict", {})[1] for _ in range(3)]
        reached(url, "btcfs_prediction_log_kept", 3)
        process.kill()
        process.wait(PATIENCE)
    assert btcfs(project, "replay", answers[0]["prediction_id"], code=5)  # the store has nothing of it yet

    with served(project, *daily) as (url, process):
        reached(url, "btcfs_prediction_log_written", 3)
    for answer in answers:
        assert btcfs(project, "replay", answer["prediction_id"])["equal"]


def reached(url: str, gauge: str, value: float) -> None:
    """Wait until the server's metrics have that value."""
    deadline = time.monotonic() + PATIENCE
    while True:
        with urllib.request.urlopen(f"{url}/metrics", timeout=PATIENCE) as response:
            shown = re.search(rf"^{gauge} (\S+)$", response.read().decode(), re.MULTILINE)
        assert shown is not None
        if float(shown[1]) == value:
            return
        assert time.monotonic() < deadline, shown[0]
        time.sleep(0.1)


def test_replay_of_an_unknown_prediction(project: Path) -> None:
    """A prediction that is not logged is not found: exit code 5, and the message says how soon the log is written."""
    with served(project) as (url, process):
        assert ask(f"{url}/predict", {})[0] == 200
        process.terminate()
        process.wait(PATIENCE)

    assert "no prediction 'deadbeef' is logged" in btcfs(project, "replay", "deadbeef", code=5)


def test_replay_after_the_model_is_gone(project: Path, tmp_path: Path) -> None:
    """A prediction whose model is in another folder cannot be made again, and the version is named."""
    with served(project) as (url, process):
        answer = ask(f"{url}/predict", {})[1]
        process.terminate()
        process.wait(PATIENCE)

    said = btcfs(project, "replay", answer["prediction_id"], "--models", str(tmp_path), code=5)
    assert answer["model_version"] in said


def test_a_token_from_a_file_opens_the_administrators_routes(project: Path, tmp_path: Path) -> None:
    """The token file's content is the token; an empty file is refused before anything listens; without one all is closed."""
    token, empty = tmp_path / "token", tmp_path / "empty"
    token.write_text("from a file\n", encoding="utf-8")
    empty.write_text("\n", encoding="utf-8")
    with served(project, "--no-log", "--admin-token-file", str(token)) as (url, _):
        wrong = ask(f"{url}/v1/reload", {}, authorization="Bearer from another")[0]
        right = ask(f"{url}/v1/reload", {}, authorization="Bearer from a file")[0]
    with served(project, "--no-log") as (url, _):
        closed = ask(f"{url}/v1/reload", {}, authorization="Bearer ")[0]
    with served(project, "--no-log", BTCFS_ADMIN_TOKEN="of the environment") as (url, _):
        variable = ask(f"{url}/v1/reload", {}, authorization="Bearer of the environment")[0]

    assert (wrong, right, closed, variable) == (401, 200, 403, 200)
    assert "holds no token" in btcfs(project, "serve", "--port", "0", "--admin-token-file", str(empty), code=2)


def test_a_port_that_is_taken_is_said(project: Path) -> None:
    """A server that cannot listen ends at once, and says which option helps."""
    with served(project, "--no-log") as (url, _):
        said = btcfs(project, "serve", "--port", url.rpartition(":")[2], code=2)

    assert "--port 0 takes a free port" in said


def test_a_greatest_age_is_kept(project: Path) -> None:
    """With --max-age a candle that closed long ago is no prediction, unless its time is asked for."""
    with served(project, "--no-log", "--max-age", "1") as (url, _):
        status, problem = ask(f"{url}/predict", {})
        asked, _ = ask(f"{url}/predict", {"timestamp": "2025-12-05T12:00:00Z"})

    assert (status, problem["type"], asked) == (503, "urn:btcfs:stale", 200)


def test_what_another_process_activates_is_served_soon(project: Path) -> None:
    """A version activated by the command while the server runs answers within a few seconds, no request refused."""
    second = btcfs(project, "train", "--folds", "1", "--seed", "1")["version"]
    with served(project, "--no-log") as (url, _):
        before = ask(f"{url}/predict", {})[1]["model_version"]
        btcfs(project, "models", "activate", second, "--force", "a rehearsal")
        seen = [before]
        for _ in range(2_000):
            status, answer = ask(f"{url}/predict", {})
            assert status == 200
            seen.append(answer["model_version"])
            if seen[-1] == second:
                break
        back = btcfs(project, "models", "rollback")

    assert seen[-1] == second != before
    assert back["to"] == before


def test_a_server_without_a_model_says_what_to_do(project: Path, tmp_path: Path) -> None:
    """With an empty models folder the server lives, is not ready, and every prediction names the next command."""
    with served(project, "--models", str(tmp_path / "none"), "--no-log") as (url, _):
        assert ask(f"{url}/health")[0] == 200
        assert ask(f"{url}/ready")[0] == 503
        status, problem = ask(f"{url}/predict", {})

    assert status == 503
    assert "btcfs train" in problem["detail"]
