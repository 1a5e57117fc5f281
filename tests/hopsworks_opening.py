"""An emulator with two projects, an environment without settings, and stores opened there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

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


def project_options(emulator: Emulator, folder: Path | None = None, **options: object) -> dict[str, Any]:
    """The options that open the emulator's project; its calls are counted in the folder, if one is given."""
    where = {"host": emulator.host, "port": emulator.port, "api_key": emulator.api_key}
    counted = {} if folder is None else {"quota_file": str(folder / "quota.json")}
    return {**where, **counted, **options}


def opening(emulator: Emulator, **options: object) -> HopsworksStore:
    return connect(**project_options(emulator, **{"timeout": 10.0, **options}))


def applied(store: HopsworksStore) -> FeatureGroup:
    """A new group of one feature, defined in that store."""
    group = candle_group("a")
    store.apply(group)
    return group
