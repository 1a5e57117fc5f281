"""The kit itself: each planted bug is caught, by the law that is about it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from btcfs.memory import MemoryStore
from conformance.planted import CAUGHT_BY

HERE = Path(__file__).parent
ACCIDENTS = ("TypeError", "ValueError", "AttributeError", "NameError", "KeyError", "IndexError", "UnboundLocalError")


@pytest.fixture(scope="module")
def failures(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """For each planted bug, how its law failed; one run of pytest for all of them."""
    report = tmp_path_factory.mktemp("kit") / "report.xml"
    chosen = [f"{HERE / 'planted.py'}::Test{bug.__name__}::{law}" for bug, law in CAUGHT_BY.items()]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--tb=line", f"--junitxml={report}"]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, [str(HERE.parent), os.environ.get("PYTHONPATH")])),
    }
    done = subprocess.run(
        [*command, *chosen], capture_output=True, text=True, env=environment, check=False, timeout=300
    )
    assert done.returncode == 1, done.stdout + done.stderr
    found = {}
    for case in ElementTree.parse(report).iter("testcase"):
        failure = case.find("failure")
        bug = case.attrib["classname"].rpartition(".Test")[2]
        found[bug] = "" if failure is None else failure.attrib["message"]
    return found


def test_enough_bugs_are_planted() -> None:
    """The kit is tried on many bugs of all kinds."""
    assert len(CAUGHT_BY) >= 60


@pytest.mark.parametrize("bug", CAUGHT_BY, ids=lambda bug: bug.__name__)
def test_the_kit_catches(failures: dict[str, str], bug: type[MemoryStore]) -> None:
    """The law about a planted bug fails, and not by an accident of the planting."""
    assert failures[bug.__name__], f"{CAUGHT_BY[bug]} passed on a store that has a bug: {bug.__doc__}"
    assert not failures[bug.__name__].startswith(ACCIDENTS), failures[bug.__name__]
