"""A copy that is killed at any moment is resumed without loss and without a duplicate."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from integration import copy_child


@pytest.mark.slow
def test_ten_kills(tmp_path: Path) -> None:
    """Killed at ten random moments, with the journal or after its loss, a copy ends with the source's rows, past and vectors."""
    script = Path(copy_child.__file__)
    run = subprocess.run(
        [sys.executable, str(script), str(tmp_path), "20000", "20", "10", "3000"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    found = json.loads(run.stdout)

    assert found["problems"] == [], run.stderr
    assert found["killed"] == 10
    assert found["status"] == 0
