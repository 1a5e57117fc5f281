"""A writer that is killed at any step of a two-sided write leaves nothing that the next one cannot complete."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import btcfs_duckdb
from btcfs.testing.backends.comparing import assert_same
from btcfs.testing.backends.examples import candles
from integration.fallback_child import GROUP, opened

CHILD = Path(__file__).with_name("fallback_child.py")


def run(folder: Path, *step: str) -> int:
    path = os.pathsep.join([str(CHILD.parents[1]), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, CHILD, folder, *step],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in (0, -9), done.stderr
    return done.returncode


@pytest.mark.parametrize(
    ("step", "written", "waiting"),
    [
        ("spooling", False, 0),
        ("primary before", True, 1),
        ("primary within", True, 1),
        ("primary after", True, 1),
        ("mirror before", True, 1),
        ("mirror within", True, 1),
        ("mirror after", True, 1),
        ("primary down", True, 1),
        ("mirror down", True, 1),
    ],
)
def test_any_step_may_be_the_last(tmp_path: Path, step: str, written: bool, waiting: int) -> None:
    """Whatever was journalled arrives on both sides under one commit; what was not is on neither."""
    assert run(tmp_path) == 0
    killed = run(tmp_path, step)
    assert (killed == -9) == (not step.endswith("down"))

    with opened(tmp_path) as store:
        assert len(store.pending()) == waiting
        report = store.sync()
        assert (len(report.completed), report.waiting, report.refused) == (waiting, (), ())
        assert store.pending() == []
        assert sorted(path.name for path in store.journal.folder.iterdir()) == ["clock", "target", "writer.lock"]
    expected = candles(GROUP, 6).assign(a=1.0) if written else candles(GROUP, 4)
    with btcfs_duckdb.connect(tmp_path / "primary") as one, btcfs_duckdb.connect(tmp_path / "mirror") as other:
        assert_same(one.read(GROUP), expected)
        assert_same(other.read(GROUP), expected)
        assert list(one.commits(GROUP)) == list(other.commits(GROUP))
        assert len(one.commits(GROUP)) == 1 + written
