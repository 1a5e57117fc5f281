"""The command that measures what a stored vector saves."""

from __future__ import annotations

from typing import Any

import click

from btcfs.cli import console
from btcfs.cli.session import Session, pass_session


@click.group(name="bench")
def command() -> None:
    """Measure a lookup against computing the features."""


@command.command()
@click.option("--rounds", type=click.IntRange(1, 10_000), default=200, show_default=True, help="Lookups measured.")
@click.option("--symbol", metavar="NAME", help="Market, such as BTC-USD.")
@click.option("--interval", metavar="1d|1h|1m", help="Length of one candle.")
@console.json_option
@pass_session
def online(session: Session, rounds: int, symbol: str | None, interval: str | None, as_json: bool) -> None:
    """Time the newest vector from the store, from the cache, and computed from raw candles in three ways.

    The true ratio is that to plain pandas over the whole history, for each request anew; it should be 50 or more.
    """
    from btcfs.catalogue import find_view
    from btcfs.online.measured import measure
    from btcfs.pipeline.standard import candle_group, named
    from btcfs.testing.pandas_features import pandas_features

    config = session.configure(symbol=symbol, interval=interval)
    with session.open(config) as store:
        view = find_view(store.definitions(), named("bitcoin_inference_view", config.interval))
        raw = candle_group(config.interval, config.stated("candles"))
        result = measure(store, view, raw, config.symbol, session.plugins, rounds, pandas_features)
    console.show(result, as_json, lambda: _show(result))


def _show(result: dict[str, Any]) -> None:
    rows = [(row["way"], row["p50_us"], row["p99_us"], row["ratio"]) for row in result["rows"]]
    console.table(("way", "p50 µs", "p99 µs", "times the stored vector"), rows)
    console.line(
        f"{result['features']} features, {result['candles']:,} candles of history, all in this process and run"
    )
    tell = console.done if result["met"] else console.warning
    tell(
        f"a stored vector is {result['faster']:,.0f} times as fast as pandas over the history; the bar is {result['bar']:.0f}"
    )
