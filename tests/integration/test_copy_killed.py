"""A copy that is killed at any moment is resumed without loss and without a duplicate."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import servers
from integration import copy_child


@pytest.mark.slow
@pytest.mark.parametrize(("route", "rows"), [("duckdb", "20000"), ("feast", "6000")])
def test_ten_kills(tmp_path: Path, route: str, rows: str) -> None:
    """Killed at ten random moments, with the journal or after its loss, a copy ends with the source's rows, past and vectors.

    So does one to Feast in a Postgres, and from there back to DuckDB.
    """
    if route == "feast":
        pytest.importorskip("feast", reason="the extra btcfs[feast] is not installed")
        servers.binary("postgres", "/usr/lib/postgresql/*/bin")
    script = Path(copy_child.__file__)
    run = subprocess.run(
        [sys.executable, str(script), str(tmp_path), rows, "6" if route == "feast" else "20", "10", "1000", route],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    found = json.loads(run.stdout)

    assert found["problems"] == [], run.stderr
    assert found["killed"] == 10
    assert found["status"] == 0
