"""An emulator with two projects, an environment without settings, and stores opened there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from btcfs.definitions import FeatureGroup
from btcfs.testing.backends.examples import candle_group
from btcfs_hopsworks import HopsworksStore, connect
from btcfs_hopsworks.emulator.application import Emulator
from btcfs_hopsworks.emulator.loopback import free_address


@pytest.fixture(scope="module")
def emulator() -> Iterator[Emulator]:
    with Emulator(host=free_address(), projects=("bitcoin_ml_pipeline", "another")) as running:
        yield running


@pytest.fixture(autouse=True)
def untouched(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An environment without settings, and a folder of its own for the counts."""
    for name in ("HOST", "PORT", "PROJECT", "API_KEY", "HOSTNAME_VERIFICATION", "TRUST_STORE_PATH", "CERT_FOLDER"):
        monkeypatch.delenv(f"HOPSWORKS_{name}", raising=False)
    monkeypatch.delenv("REST_ENDPOINT", raising=False)
    monkeypatch.chdir(tmp_path)


def opening(emulator: Emulator, **options: object) -> HopsworksStore:
    given = {"host": emulator.host, "port": emulator.port, "api_key": emulator.api_key, "timeout": 10.0, **options}
    return connect(**given)


def applied(store: HopsworksStore) -> FeatureGroup:
    """A new group of one feature, defined in that store."""
    group = candle_group("a")
    store.apply(group)
    return group
