"""A client of the emulator's REST API for tests, and the emulator it calls, as fixtures."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from btcfs_hopsworks.emulator.application import Emulator

STORE = "/project/119/featurestores/1119"


@pytest.fixture(scope="module")
def emulator(hopsworks_emulator: Emulator) -> Emulator:
    """The one that strangers get."""
    return hopsworks_emulator


@pytest.fixture
def api(emulator: Emulator) -> Iterator[Api]:
    """A client of the REST API; the knobs are as they were at the start."""
    emulator.knobs.reset()
    with httpx.Client(verify=ssl.create_default_context(cafile=str(emulator.ca_certificate)), timeout=10.0) as http:
        yield Api(http, emulator)
    emulator.knobs.reset()


class Api:
    """Calls with the key, as JSON."""

    def __init__(self, http: httpx.Client, emulator: Emulator) -> None:
        self.http, self.emulator = http, emulator
        self.base = f"{emulator.url}/hopsworks-api/api"
        self.headers = {"Authorization": f"ApiKey {emulator.api_key}"}

    def call(self, method: str, path: str, body: Any = None, **query: Any) -> httpx.Response:
        return self.http.request(method, self.base + path, json=body, params=query, headers=self.headers)

    def group(self, name: str, *features: dict[str, Any], **fields: Any) -> httpx.Response:
        """Creates a group with a key ``id`` unless features are given."""
        described = list(features) or [{"name": "id", "type": "bigint", "primary": True}]
        body = {
            "name": name,
            "version": 1,
            "type": "streamFeatureGroupDTO",
            "timeTravelFormat": "HUDI",
            "onlineEnabled": True,
            "features": described,
        }
        return self.call("POST", f"{STORE}/featuregroups", {**body, **fields})
