"""For tests against a local Hopsworks: add ``pytest_plugins = ["btcfs_hopsworks.testing"]`` to conftest.py.

``hopsworks_emulator`` is one running emulator for a module, and ``hopsworks_script`` runs a script with
the environment set, in a process of its own: the client allows one connection for each process, and
reconfigures logging.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from btcfs_hopsworks.emulator.application import Emulator


@pytest.fixture(scope="module")
def hopsworks_emulator() -> Iterator[Emulator]:
    """A running emulator on a loopback address of its own, with its knobs and calls as attributes."""
    from btcfs_hopsworks.emulator.application import Emulator
    from btcfs_hopsworks.emulator.loopback import free_address

    with Emulator(host=free_address()) as emulator:
        yield emulator


@pytest.fixture(scope="module")
def hopsworks_script(hopsworks_emulator: Emulator) -> Callable[[str], str]:
    """``run_with_client`` against the module's emulator."""
    return lambda script: run_with_client(hopsworks_emulator, script)


def run_with_client(emulator: Emulator, script: str, *, timeout: float = 120.0) -> str:
    """What a Python script prints, run in a new process whose environment names the emulator.

    AssertionError with everything it wrote if it fails; subprocess.TimeoutExpired if it takes too long.
    """
    environment = {k: v for k, v in os.environ.items() if k not in ("REST_ENDPOINT", "HTTPS_PROXY", "https_proxy")}
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**environment, **emulator.environment()},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    assert done.returncode == 0, f"the script failed with {done.returncode}:\n{done.stdout}\n{done.stderr}"
    return done.stdout
