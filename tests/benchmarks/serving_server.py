"""The servers that bench_serving measures: the predictor, and a bare Starlette route that answers the same bytes."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

sys.path.insert(0, str(Path(__file__).parents[1]))
from btcfs.cli.serve import undisturbed
from btcfs.connection import connect
from btcfs.serving import create_app
from served import OneModel, bundle_for, inference_view


def bare(answer: bytes) -> Starlette:
    """One route that parses the body and answers."""

    async def predict(request: Request) -> Response:
        msgspec.json.decode(await request.body())
        return Response(answer, media_type="application/json")

    return Starlette(routes=[Route("/predict", predict, methods=["POST"])])


def compiled(view: Any) -> Any:
    """A bundle of a logistic and a ridge model, fitted on noise and compiled as training does."""
    import attrs
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    from btcfs.training.compiled import compile_pipeline

    random = np.random.default_rng(0)
    X = random.standard_normal((500, len(view.features)))
    y = (random.random(500) > 0.5).astype(float)
    classifier = make_pipeline(StandardScaler(), LogisticRegression()).fit(X, y)
    regressor = make_pipeline(StandardScaler(), Ridge()).fit(X, random.standard_normal(500))
    return attrs.evolve(
        bundle_for(view),
        classification=compile_pipeline(classifier, "classification"),
        regression=compile_pipeline(regressor, "regression"),
    )


def main() -> None:
    kind, folder, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
    if kind == "bare":
        app: Any = bare(Path(folder, "answer.json").read_bytes())
    else:
        store = connect("duckdb", path=Path(folder) / "store", defaults={"symbol": "BTC-USD"})
        most = 1 if kind == "uncached" else 10_000
        models = OneModel(compiled(inference_view(store)))
        app = create_app(store=store, models=models, most_vectors=most, log_predictions=kind != "unlogged")
    undisturbed(lambda: uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning", access_log=False))


if __name__ == "__main__":
    main()
