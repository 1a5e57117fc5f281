"""A predictor on a real socket with a real models folder, for the tests that come from outside."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs
import httpx

from btcfs.connection import connect
from btcfs.definitions import FeatureView, Label
from btcfs.serving import create_app
from btcfs.training.bundle import Bundle, save_bundle
from btcfs.training.gate import REQUIRED
from btcfs.training.registry import Registry
from served import filled, inference_view, listening_server
from trained import KINDS, rows, target

TOKEN = "correct horse"
ADMIN = {"Authorization": f"Bearer {TOKEN}"}
PASSED = [{"name": name, "passed": True, "detail": "as recorded"} for name in REQUIRED]


@attrs.define
class Server:
    """A served store and models folder, and how to ask."""

    store: Any
    registry: Registry
    view: FeatureView
    address: tuple[str, int]
    client: httpx.Client

    @property
    def url(self) -> str:
        return "http://{}:{}".format(*self.address)

    def trained(self, view: FeatureView | None = None, checks: list[dict[str, Any]] | None = None) -> Bundle:
        """A small candidate version on a view, by default the stored one."""
        view = view or self.view
        matrix = rows(120, width=len(view.features))
        estimators = {
            task: KINDS[name].estimator(view.features).fit(matrix, target(task, 120))
            for task, name in (("classification", "logistic"), ("regression", "ridge"))
        }
        return save_bundle(
            self.registry.models_dir,
            estimators=estimators,
            view=view,
            label=Label(),
            parity_rows=matrix,
            metadata={"checks": PASSED if checks is None else checks},
            metrics={},
        )

    def activate(self, version: str, **body: Any) -> httpx.Response:
        return self.client.post(f"/v1/models/{version}/activate", headers=ADMIN, json=body)

    def answering(self) -> str:
        """The version that a prediction comes from."""
        answer = self.client.post("/predict", json={})
        assert answer.status_code == 200, answer.text
        return str(answer.json()["model_version"])


@contextmanager
def model_server(folder: Path, source: Any, head_seconds: float = 10.0, **options: Any) -> Iterator[Server]:
    """Twenty days of the source's market in the embedded default, one active model, served."""
    with connect("duckdb", path=folder / "store", defaults={"symbol": "BTC-USD"}) as store:
        filled(store, source, days=20)
        registry = Registry(folder / "models")
        # What another process activates is not looked for, so that each test sees only its own requests.
        app = create_app(
            store=store, models=registry.models_dir, admin_token=TOKEN, **{"watch_seconds": 3600.0, **options}
        )
        with (
            listening_server(app, head_seconds=head_seconds) as address,
            httpx.Client(base_url="http://{}:{}".format(*address), timeout=30) as client,
        ):
            served = Server(store, registry, inference_view(store), address, client)
            assert served.activate(served.trained().version).status_code == 200
            yield served
