"""The demo's second half: train on what was stored, activate the model, and ask it once over a real socket."""

from __future__ import annotations

import json
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from btcfs.cli import console
from btcfs.store import FeatureStore

REASON = "btcfs demo: a synthetic market has nothing to predict, and a prediction is to be shown"
NEEDED = {"sklearn": "train", "starlette": "serve", "uvicorn": "serve", "msgspec": "serve"}


def missing_extras() -> list[str]:
    """The extras that are not installed and without which there is no second half."""
    return sorted({extra for module, extra in NEEDED.items() if find_spec(module) is None})


def trained_and_asked(store: FeatureStore, view: str, models: Path, plugins: Any, *, silent: bool) -> dict[str, Any]:
    """Train, activate, serve and predict once; what came of each, with the URL of the report."""
    from btcfs.certified import train
    from btcfs.training.registry import Registry

    report = train(
        store, view=view, models_dir=models, plugins=plugins, folds=4, notify=(lambda lines: None) if silent else _show
    )
    registry = Registry(models)
    registry.activate(report.version, checks=(), force_reason=REASON)
    with _served(store, models, plugins) as url:
        request = urllib.request.Request(
            f"{url}/predict", data=b"{}", headers={"content-type": "application/json"}, method="POST"
        )
        with urllib.request.urlopen(request, timeout=30) as response:
            answer = json.load(response)
    page = models / report.version / "reports" / "report.html"
    return {
        "model_version": report.version,
        "verdicts": {task: task_report.verdict.words for task, task_report in report.tasks.items()},
        "prediction": answer,
        "asked": f"{url}/predict",
        "serve": f"BTCFS_DUCKDB_PATH={models.parent} btcfs serve --models {models}",
        "curl": "curl -X POST http://127.0.0.1:8000/predict -H 'content-type: application/json' -d '{}'",
        "report": page.resolve().as_uri(),
    }


def show_prediction(value: dict[str, Any]) -> None:
    """What the model answered, and how to ask it again."""
    console.line()
    console.line(f"One prediction over HTTP, from {value['asked']}:")
    console.line(json.dumps(value["prediction"], indent=2))
    console.line(f"Ask again:  {value['serve']}")
    console.line(f"and then:   {value['curl']}")
    console.done(f"Model {value['model_version']} is active, by force: {REASON}")
    console.done(f"Training report: {value['report']}")


@contextmanager
def _served(store: FeatureStore, models: Path, plugins: Any) -> Iterator[str]:
    """The predictor on a free port of this machine for the length of a with block."""
    import uvicorn

    from btcfs.serving import create_app
    from btcfs.serving.listening import listening

    app = create_app(store=store, models=models, plugins=plugins)
    settings = listening(app, "127.0.0.1", 0)
    server = uvicorn.Server(settings)
    socket = settings.bind_socket()
    socket.listen()  # from here on a request waits for the server instead of being refused
    thread = threading.Thread(target=server.run, kwargs={"sockets": [socket]}, name="btcfs-demo-server")
    thread.start()
    try:
        yield f"http://127.0.0.1:{socket.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


def _show(lines: Any) -> None:
    for text in lines:
        console.line(text)
