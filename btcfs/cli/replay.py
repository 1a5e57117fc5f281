"""The command that makes a logged prediction again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from btcfs.cli import console
from btcfs.cli.failures import CHECK_FAILED
from btcfs.cli.session import Session, pass_session

if TYPE_CHECKING:
    from btcfs.serving.reproduction import Replay


@click.command(name="replay")
@click.argument("prediction_id")
@click.option("--models", type=click.Path(path_type=Path), default=Path("models"), show_default=True, metavar="DIR")
@console.json_option
@click.pass_context
@pass_session
def command(session: Session, ctx: click.Context, prediction_id: str, models: Path, as_json: bool) -> None:
    """Find a prediction's vector anew, ask its model again, and compare every bit; exit 1 if one differs."""
    from btcfs.serving.reproduction import replay
    from btcfs.training.registry import Registry

    config = session.config
    candles = config.stated("candles")
    with session.open() as store:
        result = replay(store, Registry(models).load, prediction_id, session.plugins, candles=candles)
    console.show(result, as_json, lambda: _show(result))
    ctx.exit(0 if result.equal else CHECK_FAILED)


def _show(result: Replay) -> None:
    console.line(f"{result.prediction_id}: {result.symbol} candle of {result.candle}, predicted {result.made_at}")
    console.line(f"model {result.model_version}, features from {result.feature_source}")
    rows = [(name, repr(value), repr(result.replayed[name])) for name, value in result.logged.items()]
    console.table(("output", "logged", "replayed"), rows)
    (console.done if result.output_equal else console.failure)(
        f"output {'equal bit for bit' if result.output_equal else 'differs'}"
    )
    tell = {True: console.done, False: console.failure, None: console.warning}[result.vector_equal]
    tell(f"vector: {result.vector_note}")
