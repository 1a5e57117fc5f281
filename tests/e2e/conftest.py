"""What the tests of whole commands share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from btcfs.cli import main
from commandline import Run


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs btcfs in an empty folder, without settings from outside.

    The exit code is ``code`` or the test fails; None stands for any.
    """
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("BTCFS_")]:
        monkeypatch.delenv(name)

    def invoke(*arguments: str, code: int | None = 0) -> Result:
        result = CliRunner().invoke(main, list(arguments))
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert code is None or result.exit_code == code, result.output
        return result

    return invoke
