"""The servers that bench_serving measures: the predictor, and a bare Starlette route that answers the same bytes."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from btcfs.cli.serve import undisturbed
from btcfs.connection import connect
from btcfs.serving import create_app
from btcfs.serving.listening import listening


def bare(answer: bytes) -> Starlette:
    """One route that parses the body and answers."""

    async def predict(request: Request) -> Response:
        msgspec.json.decode(await request.body())
        return Response(answer, media_type="application/json")

    return Starlette(routes=[Route("/predict", predict, methods=["POST"])])


def main() -> None:
    kind, folder, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
    if kind == "bare":
        app: Any = bare(Path(folder, "answer.json").read_bytes())
    else:
        store = connect("duckdb", path=Path(folder) / "store", defaults={"symbol": "BTC-USD"})
        most = 1 if "uncached" in kind else 10_000
        app = create_app(
            store=store, models=Path(folder) / "models", most_vectors=most, log_predictions="unlogged" not in kind
        )
    plain = uvicorn.Config(app, host="127.0.0.1", port=port, log_level="warning", access_log=False)
    settings = plain if kind == "bare" else listening(app, "127.0.0.1", port)
    undisturbed(uvicorn.Server(settings).run)


if __name__ == "__main__":
    main()
