"""The Hopsworks backend obeys the laws of every backend, against the emulator."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pytest

pytest.importorskip("hopsworks", reason="the extra hopsworks-emulator is not installed")
pytest.importorskip("mysql_mimic", reason="the extra hopsworks-emulator is not installed")

from btcfs.testing import BackendTests
from btcfs.testing.backends.kit import OpenStore
from btcfs_hopsworks import connect
from btcfs_hopsworks.emulator.application import Emulator
from btcfs_hopsworks.emulator.loopback import free_address


@pytest.fixture(scope="module")
def opened() -> Iterator[OpenStore]:
    """Stores on one emulator, over one login that lasts as long as the module."""
    with Emulator(host=free_address()) as emulator:
        connecting = partial(connect, host=emulator.host, port=emulator.port, api_key=emulator.api_key, timeout=20.0)
        with connecting():
            yield connecting


class TestHopsworksBackend(BackendTests):
    @pytest.fixture
    def open_store(self, opened: OpenStore) -> OpenStore:
        return opened
