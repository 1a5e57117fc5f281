"""The commands of a folder, run as processes on DuckDB and on Hopsworks with nothing but the settings changed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest

pytest.importorskip("confluent_kafka", reason="the extra hopsworks-emulator is not installed")
pytest.importorskip("mysql_mimic", reason="the extra hopsworks-emulator is not installed")

from btcfs.instants import now
from btcfs_hopsworks.emulator.loopback import free_address
from served import DAY, market

BTCFS = [sys.executable, "-c", "from btcfs.cli import main; main()"]
SETTINGS = 'backend = "{backend}"\n[source]\nname = "csv"\npath = "candles.csv"\n'


@attrs.frozen
class Folder:
    """A folder with settings, a file of candles, and how to run btcfs there."""

    path: Path

    def run(self, *words: str, code: int = 0) -> Any:
        environment = {n: v for n, v in os.environ.items() if not n.startswith(("BTCFS_", "HOPSWORKS_", "REST_"))}
        done = subprocess.run(
            [*BTCFS, *words, "--json"], cwd=self.path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == code, done.stdout + done.stderr
        return json.loads(done.stdout)

    def until(self, days_ago: int) -> None:
        """Give the file the candles that had closed so many days ago."""
        market(1_200, now() - days_ago * DAY, seed=3).to_csv(self.path / "candles.csv", index=False)


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The lines of ``.env`` that ``btcfs hopsworks-emulator`` writes."""
    file = tmp_path_factory.mktemp("emulator") / "emulator.env"
    command = [*BTCFS, "hopsworks-emulator", "--host", free_address(), "--env-file", str(file)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        while not (line := process.stdout.readline()).startswith("# REST"):
            assert line, "the emulator ended"
        yield file.read_text()
    finally:
        process.terminate()
        assert process.wait(30) == 0


def folder(path: Path, backend: str, environment: str = "") -> Folder:
    path.mkdir()
    (path / "btcfs.toml").write_text(SETTINGS.format(backend=backend))
    (path / ".env").write_text(environment)
    (path / ".env").chmod(0o600)
    return Folder(path)


def test_only_the_settings_change(environment: str, tmp_path: Path) -> None:
    """Ingest, views, daily, verify, statistics, doctor, diff: each command says on Hopsworks what it says on DuckDB."""
    local, remote = folder(tmp_path / "local", "duckdb"), folder(tmp_path / "remote", "hopsworks", environment)
    both = (local, remote)

    for each in both:
        each.until(1)
    first = [each.run("ingest", "historical", "--days", "365") for each in both]
    [each.run("ingest", "create-view") for each in both]
    for each in both:
        each.until(0)
    daily = [each.run("ingest", "daily") for each in both]
    verified = [each.run("verify") for each in both]
    statistics = [each.run("stats") for each in both]
    checks = {check["name"]: check for check in remote.run("doctor")["checks"]}

    counts = ("inserted", "updated", "unchanged", "rejected", "start", "end")
    assert [{n: f[n] for n in counts} for f in first][1] == {n: first[0][n] for n in counts}
    assert first[0]["inserted"] == 365
    assert [d["inserted"] for d in daily] == [1, 1]
    assert [(c["name"], c["status"]) for c in verified[1]["checks"]] == [
        (c["name"], c["status"]) for c in verified[0]["checks"]
    ]
    shown = ("feature", "rows", "missing", "mean", "std", "min", "q50", "max")
    assert [[r[n] for n in shown] for r in statistics[1]] == [[r[n] for n in shown] for r in statistics[0]]
    assert [name for name, check in checks.items() if check["passed"] is False] == []
    for name in ("client", "settings", "host", "tls", "project", "port_5005", "port_3306"):
        assert f"hopsworks_{name}" in checks
    assert "of 50,000 calls" in checks["quota"]["message"]
    assert remote.run("diff", "hopsworks", f"duckdb:{local.path / '.btcfs'}", "--group", "bitcoin_features")
