"""The command that answers predictions over HTTP."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from btcfs.cli import console
from btcfs.cli.session import Session, pass_session
from btcfs.errors import ConfigError

if TYPE_CHECKING:
    from socket import socket

    import uvicorn

    from btcfs.config import Config
    from btcfs.store import FeatureStore

TOKEN_VARIABLE = "BTCFS_ADMIN_TOKEN"


@click.command(name="serve")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65_535), default=8000, show_default=True, help="0 takes a free one.")
@click.option("--models", type=click.Path(path_type=Path), default=Path("models"), show_default=True, metavar="DIR")
@click.option("--symbol", metavar="NAME", help="Market that a request without one means.")
@click.option(
    "--max-age",
    type=click.FloatRange(0, min_open=True),
    metavar="HOURS",
    help="Refuse to predict from the newest candle when it closed longer ago; default: predict, and tell the age.",
)
@click.option("--no-log", is_flag=True, help="Do not log predictions to the store.")
@click.option(
    "--log-seconds",
    type=click.FloatRange(0, min_open=True),
    metavar="N",
    help="Seconds between writes of the log; 2 if not given, and a day for a store with a budget of calls.",
)
@click.option(
    "--spool",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(".btcfs/predictions"),
    show_default=True,
    metavar="DIR",
    help="Where predictions are kept that wait longer than two seconds to be logged, or that the store refused.",
)
@click.option(
    "--admin-token-file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help=f"File with the token that opens the administrator's routes; or the variable {TOKEN_VARIABLE}.",
)
@click.option("--shadow", metavar="PLACE", help="Compare with this store too: BACKEND, BACKEND:PATH or FILE.toml.")
@click.option("--shadow-option", multiple=True, metavar="NAME=VALUE", help="Option of the shadow's backend.")
@click.option(
    "--shadow-report", type=click.Path(path_type=Path), metavar="FILE", help="Where to write what the shadow counts."
)
@console.json_option
@pass_session
def command(
    session: Session,
    host: str,
    port: int,
    models: Path,
    symbol: str | None,
    max_age: float | None,
    no_log: bool,
    log_seconds: float | None,
    spool: Path,
    admin_token_file: Path | None,
    shadow: str | None,
    shadow_option: tuple[str, ...],
    shadow_report: Path | None,
    as_json: bool,
) -> None:
    """Serve the active model over the configured store; stop with Ctrl-C.

    POST /predict takes a candle, an instant, or {} for the newest one; GET /openapi.json says the rest.
    """
    server_of = _uvicorn().Server
    from btcfs.serving import create_app
    from btcfs.serving.listening import listening

    config = session.configure(symbol=None if symbol is None else symbol.replace("/", "-").upper())
    with _shadowed(session.open(config), config, shadow, shadow_option, shadow_report) as store:
        app = create_app(
            store=store,
            models=models,
            plugins=session.plugins,
            symbol=config.symbol,
            candles=config.stated("candles"),
            admin_token=_token(admin_token_file),
            log_predictions=not no_log,
            max_age_seconds=None if max_age is None else max_age * 3600,
            log_seconds=log_seconds,
            spool=spool,
        )
        settings = listening(app, host, port)
        server = server_of(settings)
        bound = _bound(settings)
        bound.listen(settings.backlog)  # from here on, when the address is shown, a request waits and is not refused
        shown = f"http://{host}:{bound.getsockname()[1]}"
        value = {"url": shown, "models": models, "backend": store.name}

        def text() -> None:
            console.line(f"Serving {models} over {value['backend']} at {shown}")
            console.line(f"curl -X POST {shown}/predict -H 'content-type: application/json' -d '{{}}'")

        console.show(value, as_json, text)
        with ended_by_signals(server):
            undisturbed(lambda: server.run(sockets=[bound]))


def _bound(settings: uvicorn.Config) -> socket:
    """The socket to listen on. ConfigError if it cannot be had."""
    try:
        return settings.bind_socket()
    except SystemExit as exc:  # uvicorn (0.54) writes why and wants to end the program
        raise ConfigError(
            f"cannot listen on {settings.host}:{settings.port}; --port 0 takes a free port, --host another address"
        ) from exc


@contextmanager
def ended_by_signals(server: uvicorn.Server) -> Iterator[None]:
    """Let SIGTERM and Ctrl-C end the server and nothing more, so that the store is closed and the exit code is 0.

    uvicorn (0.54) raises a signal that it was ended by once more, for the handler that was there before it.
    """
    import signal

    def end(number: int, frame: object) -> None:
        server.should_exit = True

    before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _shadowed(
    store: FeatureStore, config: Config, shadow: str | None, options: tuple[str, ...], report: Path | None
) -> FeatureStore:
    """The store, with the shadow beside it if there is one."""
    if shadow is None:
        if options or report is not None:
            raise ConfigError("--shadow-option and --shadow-report say how to shadow a store; name it with --shadow")
        return store
    from btcfs.transfer.places import place
    from btcfs.transfer.shadow import ShadowStore

    try:
        return ShadowStore(store, place(shadow, options, config=config).open(), report=report)
    except BaseException:  # whatever stopped it, nobody else could close it
        store.close()
        raise


def undisturbed(run: Callable[[], None]) -> None:
    """Run a server in this process, set for answers in time.

    What is loaded by now is left out of garbage collection, which would pause requests for it. And a
    thread that writes the log gives way after a tenth of a millisecond, not after five: each request that
    waits for a file would pay that.
    """
    import gc
    import sys

    interval = sys.getswitchinterval()
    gc.collect()
    gc.freeze()
    sys.setswitchinterval(0.0001)
    try:
        run()
    finally:
        sys.setswitchinterval(interval)
        gc.unfreeze()


def _token(file: Path | None) -> str | None:
    import os

    if file is None:
        return os.environ.get(TOKEN_VARIABLE) or None
    token = file.read_text(encoding="utf-8").strip()
    if not token:
        raise ConfigError(f"{file} holds no token; an empty one would open the administrator's routes to everybody")
    return token


def _uvicorn() -> Any:
    try:
        import uvicorn
    except ModuleNotFoundError as exc:
        raise ConfigError("btcfs serve needs the extra 'serve': pip install 'btcfs[serve]'") from exc
    return uvicorn
