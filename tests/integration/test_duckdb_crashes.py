"""The DuckDB backend loses nothing when its writer is killed, and shows nothing by halves."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from integration import duckdb_child as child

SCRIPT = Path(child.__file__)


@pytest.mark.slow
def test_fifty_kills(tmp_path: Path) -> None:
    """A writer killed at any moment loses nothing acknowledged; four readers see only whole commits meanwhile."""
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "killed-rounds", str(tmp_path), "50"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)

    assert found["problems"] == [], done.stderr
    assert found["acknowledged"] >= 50
    assert [reader for reader in found["readers"] if reader is None or "wrong" in reader] == []
    assert all(reader["seen"] > 10 for reader in found["readers"])


def test_a_crash_between_the_commits(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A commit that only the offline tables got is replayed when the store is next opened, and that is logged."""
    child.prepare(tmp_path)
    died = subprocess.run([sys.executable, str(SCRIPT), "die-between", str(tmp_path)], check=False)
    assert died.returncode == -signal.SIGKILL

    found = child.state(tmp_path)
    assert found["repairs"] == {"replayed": 1}
    assert (found["value"], found["log"], found["equal"]) == ([1.0], [0.0, 1.0], True)
    assert "1 changes behind" in caplog.text
    assert child.state(tmp_path)["repairs"] == {}
