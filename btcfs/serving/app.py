"""The predictor as a Starlette app: served by itself or mounted in another one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from btcfs.errors import BtcfsError
from btcfs.plugins import Plugins
from btcfs.serving.endpoint import PredictEndpoint, Shortcut
from btcfs.serving.exchange import ClientGone
from btcfs.serving.model_routes import ModelRoutes
from btcfs.serving.problems import encoded, headers_of, problem_of, status_problem
from btcfs.serving.routes import Routes, counted
from btcfs.serving.service import Models, Options, Service
from btcfs.serving.watch import watch
from btcfs.store import FeatureStore

# Exception itself comes last: Starlette answers it too, and raises it again for the server to log.
_EXPECTED = (HTTPException, BtcfsError, msgspec.MsgspecError, ClientGone, ClientDisconnect, Exception)

Lifespan = Callable[[Any], AbstractAsyncContextManager[None]]


def create_app(
    *,
    store: FeatureStore | None = None,
    models: str | Path | Models = "models",
    plugins: Plugins | None = None,
    **options: Any,
) -> Starlette:
    """A predictor of its own, sharing nothing with any other.

    ``store`` stays open when the app ends; without one, the configured store is opened at the start
    and closed at the end. ``models`` is the folder of bundles. ``options`` are the fields of
    ``btcfs.serving.service.Options``: ``symbol``, ``admin_token``, ``most_bytes`` and so on; over a store with a budget of
    calls, ``spool`` is the folder that keeps predictions until they are logged, once a day.

    The work begins with the app's lifespan, which a parent app has to run (``composed_lifespan``);
    an app mounted without that begins with its first request, and its last two seconds of
    predictions may not be logged.
    """
    service = Service(_opener(store), _registry(models), Options(**options), plugins)
    routes, about_models = Routes(service), ModelRoutes(service)
    named: list[tuple[str, str, Any]] = [
        ("/v1/predict/batch", "POST", routes.predict_many),
        ("/v1/features", "GET", routes.features),
        ("/v1/window", "GET", routes.window),
        ("/v1/model", "GET", about_models.model),
        ("/v1/models", "GET", about_models.models),
        ("/v1/models/{version}", "GET", about_models.model_version),
        ("/v1/models/{version}/activate", "POST", about_models.activate),
        ("/v1/reload", "POST", about_models.reload),
        ("/health", "GET", routes.health),
        ("/ready", "GET", routes.ready),
        ("/metrics", "GET", routes.metrics),
        ("/openapi.json", "GET", routes.openapi),
        ("/", "GET", routes.index),
    ]
    fast = {path: PredictEndpoint(service, path) for path in ("/predict", "/v1/predict")}
    # In the table too, where other methods are refused and the document finds them.
    table = [Route(path, end, methods=["POST"], name=f"predict at {path}") for path, end in fast.items()]
    table += [Route(path, counted(service, path, end), methods=[verb]) for path, verb, end in named]
    answers = _answers(service)
    app = Starlette(
        routes=table,
        middleware=[Middleware(Shortcut, endpoints=fast)],
        lifespan=_lifespan(service),
        exception_handlers=dict.fromkeys(_EXPECTED, answers),
    )
    app.state.service = service
    return app


def composed_lifespan(*apps: Starlette, own: Lifespan | None = None) -> Lifespan:
    """A lifespan for the app that these are mounted in: theirs, and then its own if it has one."""

    @asynccontextmanager
    async def lifespan(parent: Any) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            for app in apps:
                await stack.enter_async_context(app.router.lifespan_context(app))
            if own is not None:
                await stack.enter_async_context(own(parent))
            yield

    return lifespan


def _lifespan(service: Service) -> Lifespan:
    @asynccontextmanager
    async def lifespan(app: Any) -> AsyncIterator[None]:
        await asyncio.to_thread(service.start)
        watching = asyncio.create_task(watch(service))
        try:
            yield
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
            await asyncio.to_thread(service.stop)

    return lifespan


def _answers(service: Service) -> Callable[[Request, Exception], Any]:
    """Answers an error with its problem document."""

    async def respond(request: Request, error: Exception) -> Response:
        if isinstance(error, (ClientGone, ClientDisconnect)):
            return Response(status_code=400)  # nobody reads it
        if isinstance(error, HTTPException):
            problem = status_problem(error.status_code, _words(request, error))
        else:
            problem = problem_of(error)
        service.counters.responses[request.scope.get("btcfs.route", "other"), problem.status] += 1
        response = Response(encoded(problem), status_code=problem.status)
        for name, value in headers_of(problem):
            response.headers[name.decode()] = value.decode()
        for header, text in (getattr(error, "headers", None) or {}).items():
            response.headers[header] = text
        return response

    return respond


def _words(request: Request, error: HTTPException) -> str:
    if error.status_code == HTTPStatus.NOT_FOUND:
        return f"nothing is at {request.url.path[:80]!r}; GET / of this app lists what there is"
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        return f"{request.method} is not answered here; {(error.headers or {}).get('Allow', 'another method')} is"
    return error.detail


def _opener(store: FeatureStore | None) -> Callable[[], tuple[FeatureStore, bool]]:
    def opened() -> tuple[FeatureStore, bool]:
        if store is not None:
            return store, False
        from btcfs.connection import connect

        return connect(), True

    return opened


def _registry(models: str | Path | Models) -> Models:
    if not isinstance(models, (str, Path)):
        return models
    from btcfs.training.registry import Registry

    registry: Models = Registry(Path(models))
    return registry
