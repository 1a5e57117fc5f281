"""The command that checks candles by every rule and writes nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from btcfs.cli import console
from btcfs.cli.failures import REFUSED
from btcfs.cli.session import Session, pass_session


@click.command(name="validate")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--symbol", metavar="NAME", help="Market that the file is of.")
@click.option("--interval", metavar="1d|1h|1m", help="Length of one candle.")
@click.option("--repair-volume", is_flag=True, help="Count swapped volumes as repaired.")
@click.option("--source-option", multiple=True, metavar="NAME=VALUE", help="Any other option of the source.")
@console.json_option
@click.pass_context
@pass_session
def command(session: Session, ctx: click.Context, file: Path, as_json: bool, **options: Any) -> None:
    """Check the candles of a csv or parquet file; exit 3 if an ingest would refuse them."""
    from btcfs.cli.sources import open_source
    from btcfs.instants import now
    from btcfs.pipeline.acceptance import accept
    from btcfs.pipeline.validate import CandlesRefused
    from btcfs.sources import CandleRequest

    config = session.configure(symbol=options["symbol"], interval=options["interval"])
    kind = "parquet" if file.suffix in (".parquet", ".pq") else "csv"
    source = open_source(config, session.plugins, {**options, "source": kind, "path": str(file)})
    request = CandleRequest(config.symbol, config.interval, now=now())
    fetched = source.fetch(request)
    try:
        report = accept(fetched, request, repair_volume=options["repair_volume"]).validation
    except CandlesRefused as exc:
        report = exc.report
    value = {"source": fetched.report.to_dict(), "validation": report.to_dict()}

    def text() -> None:
        for note in fetched.report.notes:
            console.line(note)
        console.line(report.text())

    console.show(value, as_json, text)
    ctx.exit(0 if report.ok else REFUSED)
