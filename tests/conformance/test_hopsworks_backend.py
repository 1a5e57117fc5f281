"""The Hopsworks backend obeys the laws of every backend, against the emulator in both of its modes."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pytest

pytest.importorskip("confluent_kafka", reason="the extra hopsworks-emulator is not installed")
pytest.importorskip("mysql_mimic", reason="the extra hopsworks-emulator is not installed")

from btcfs.testing import BackendTests
from btcfs.testing.backends.kit import OpenStore
from btcfs_hopsworks import connect
from btcfs_hopsworks.emulator.application import Emulator
from btcfs_hopsworks.emulator.loopback import free_address
from emulated import services
from hopsworks_opening import project_options


@pytest.fixture(scope="class")
def opened(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenStore]:
    """How to open the project of an emulator with the servers of the class's mode."""
    servers = services(request.cls.mode, free_address())
    with Emulator(host=servers.host, mysql=servers.mysql, kafka=servers.kafka) as emulator:
        connecting = partial(connect, **project_options(emulator, tmp_path_factory.mktemp("quota"), timeout=20.0))
        with connecting():
            yield connecting


class HopsworksTests(BackendTests):
    """The laws on one emulator and one login for all tests of a class; each test makes up its own names."""

    mode = "pip"

    @pytest.fixture
    def open_store(self, opened: OpenStore) -> OpenStore:
        return opened


class TestHopsworksBackend(HopsworksTests):
    """On what pip installs."""


class TestHopsworksBackendOnServers(HopsworksTests):
    """On MariaDB and a Kafka-compatible broker."""

    mode = "services"


del HopsworksTests
