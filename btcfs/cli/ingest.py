"""The ingest commands: historical, daily, backfill, create-view and verify."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from btcfs.cli import console
from btcfs.cli.session import Session, pass_session
from btcfs.cli.verify import command as verify_command

if TYPE_CHECKING:
    from datetime import datetime

    from btcfs.pipeline.ingest import Ingest
    from btcfs.pipeline.ingest_report import IngestReport

F = TypeVar("F", bound=Callable[..., Any])


class Modes(click.Group):
    """A group whose commands can also be chosen by ``--mode NAME``; without a name it is ``daily``."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        rest, mode = [], None
        remaining = iter(args)
        for arg in remaining:
            if arg == "--mode":
                mode = next(remaining, "")
            elif arg.startswith("--mode="):
                mode = arg.partition("=")[2]
            else:
                rest.append(arg)
        if mode is not None:
            rest.insert(0, mode)
        elif not rest or (rest[0].startswith("-") and rest[0] not in ("-h", "--help")):
            rest.insert(0, "daily")
        return super().parse_args(ctx, rest)


@click.group(cls=Modes, name="ingest")
def command() -> None:
    """Fetch candles, compute features and commit them.

    The command may also be given as --mode NAME; without any it is daily.
    """


def _market(function: F) -> F:
    for option in (
        click.option("--interval", metavar="1d|1h|1m", help="Length of one candle; checked against the data."),
        click.option("--symbol", metavar="NAME", help="Market, such as BTC-USD or BTC/USD."),
    ):
        function = option(function)
    return function


def _candles(function: F) -> F:
    for option in (
        console.json_option,
        click.option("--dry-run", is_flag=True, help="Say what would be written; write nothing."),
        click.option("--quarantine", type=click.Path(path_type=Path), help="Put bad candles into this file and go on."),
        click.option("--repair-volume", is_flag=True, help="Put swapped base and quote volumes right."),
        click.option("--batch-size", type=int, help="Rows sent at a time, all in one commit.  [default: 100 or more]"),
        click.option("--source-option", multiple=True, metavar="NAME=VALUE", help="Any other option of the source."),
        click.option("--seed", type=int, help="Seed of the sample market."),
        click.option("--exchange", metavar="ID", help="Exchange, by its ccxt name."),
        click.option("--path", metavar="FILE", help="File for a csv or parquet source."),
        click.option("--source", metavar="NAME", help="Where candles come from: csv, parquet, exchange, sample, …"),
    ):
        function = option(function)
    return _market(function)


@command.command()
@click.option("--days", type=int, default=365, show_default=True, help="Days to emit; the lookback is fetched on top.")
@_candles
@pass_session
def historical(session: Session, days: int, **options: Any) -> None:
    """Ingest the last N days, fetching the lookback before them too."""
    _run(session, "historical", options, lambda ingest: ingest.historical(days))


@command.command()
@_candles
@pass_session
def daily(session: Session, **options: Any) -> None:
    """Continue from the newest stored candle."""
    _run(session, "daily", options, lambda ingest: ingest.daily())


@command.command()
@click.option(
    "--start", required=True, metavar="TIME", help="First open time, such as 2024-01-01 or 2024-01-01T12:00Z."
)
@click.option("--end", required=True, metavar="TIME", help="Open time to stop before.")
@click.option("--symbols", metavar="NAME,NAME,…", help="Several markets instead of one, each a commit of its own.")
@click.option("--engine", metavar="NAME", help="What computes: local, processes, ray, spark, …  [default: local]")
@click.option("--engine-option", multiple=True, metavar="NAME=VALUE", help="An option of the engine.")
@_candles
@pass_session
def backfill(session: Session, start: str, end: str, symbols: str | None, **options: Any) -> None:
    """Ingest a range of time, fetching the lookback before it too."""
    from btcfs.instants import parse_instant

    first, after = parse_instant(start), parse_instant(end)
    if symbols is None:
        _run(session, "backfill", options, lambda ingest: ingest.backfill(first, after))
    else:
        _run_markets(
            session, [_canonical(name.strip()) for name in symbols.split(",") if name.strip()], first, after, options
        )


@command.command(name="create-view")
@click.option("--label-column", default="close", show_default=True, help="Price that the label looks at.")
@click.option("--horizon", type=int, default=1, show_default=True, help="Candles that the label looks ahead.")
@click.option("--kind", type=click.Choice(["direction", "change"]), default="direction", show_default=True)
@click.option("--threshold", type=float, default=0.0, show_default=True, help="Change in percent that counts as up.")
@click.option("--view-version", type=int, default=1, show_default=True)
@click.option("--dry-run", is_flag=True, help="Check only; write nothing.")
@_market
@console.json_option
@pass_session
def create_view(
    session: Session, label_column: str, horizon: int, kind: Any, threshold: float, view_version: int, **options: Any
) -> None:
    """Create the training view, with its label, and the inference view of the same features."""
    from btcfs.catalogue import find_group
    from btcfs.definitions import Label
    from btcfs.errors import NotFound
    from btcfs.pipeline.standard import create_views

    as_json = options.pop("as_json")
    label = Label(label_column, horizon, kind, threshold)
    with _ingest(session, options) as ingest:
        try:
            group = find_group(ingest.store.definitions(), ingest.group_name, ingest.version)
        except NotFound as exc:
            raise NotFound(f"{exc}. Run btcfs ingest historical --days 2000 first, then create the view again") from exc
        made = create_views(ingest.store, group, label, version=view_version, dry_run=options["dry_run"])
    value = {"training": made.training.to_dict(), "inference": made.inference.to_dict(), "dry_run": options["dry_run"]}

    def text() -> None:
        verb = "would be created" if options["dry_run"] else "ready"
        for view in (made.training, made.inference):
            with_label = f", label {view.label.name}" if view.label else ""
            console.done(f"Feature view {verb}: {view.title} ({len(view.features)} features{with_label})")

    console.show(value, as_json, text)


command.add_command(verify_command, "verify")


def _run(session: Session, mode: str, options: dict[str, Any], work: Callable[[Ingest], IngestReport]) -> None:
    from btcfs.cli.ingest_output import Narrator, show_report

    as_json = options.pop("as_json")
    with Narrator(mode, silent=as_json) as narrator, _ingest(session, options, narrator) as ingest:
        report = work(ingest)
    console.show(report, as_json, lambda: show_report(report))
    if as_json:
        return
    for text in report.warnings:
        console.warning(text)


def _run_markets(session: Session, symbols: list[str], start: datetime, end: datetime, options: dict[str, Any]) -> None:
    from btcfs.cli.ingest_output import MarketsNarrator, show_markets
    from btcfs.pipeline.markets import backfill_markets

    if options["symbol"] is not None:
        raise click.UsageError("--symbol and --symbols are both given; name the markets in one of them")
    as_json = options.pop("as_json")
    with MarketsNarrator(len(symbols), silent=as_json) as narrator, _ingest(session, options) as ingest:
        report = backfill_markets(ingest, symbols, start, end, narrator)
    console.show(report, as_json, lambda: show_markets(report))


class _ingest:
    """An ingest made of the configuration and a command's options, with its store open for a with block."""

    def __init__(self, session: Session, options: dict[str, Any], notify: Any = None) -> None:
        self.session = session
        self.options = options
        self.notify = notify

    def __enter__(self) -> Ingest:
        from btcfs.cli.engines import opened_engine
        from btcfs.cli.sources import open_source
        from btcfs.pipeline.configured import configured_ingest

        options = self.options
        symbol = options["symbol"]
        config = self.session.configure(symbol=symbol and _canonical(symbol), interval=options["interval"])
        source = open_source(config, self.session.plugins, options) if "source" in options else None
        with ExitStack() as opened:
            store = opened.enter_context(self.session.open(config))
            engine = opened.enter_context(opened_engine(config, options)) if "engine" in options else None
            settings = {
                name: options[name]
                for name in ("batch_size", "repair_volume", "quarantine", "dry_run")
                if options.get(name) is not None
            }
            if self.notify is not None:
                settings["notify"] = self.notify
            ingest = configured_ingest(store, config, self.session.plugins, source=source, engine=engine, **settings)
            self.opened = opened.pop_all()
        return ingest

    def __exit__(self, *exc_info: Any) -> None:
        self.opened.__exit__(*exc_info)


def _canonical(symbol: str) -> str:
    """The symbol as it is stored, BTC-USD, for the exchanges' spelling BTC/USD."""
    return symbol.replace("/", "-").upper()
