"""The command that shows the catalogue of installed features."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from btcfs.cli import console
from btcfs.cli.session import Session, pass_session

if TYPE_CHECKING:
    from btcfs.indicators import Indicator


@click.group(name="features")
def command() -> None:
    """Show the features that are installed."""


@command.command(name="list")
@console.json_option
@pass_session
def list_features(session: Session, as_json: bool) -> None:
    """Show every installed feature with unit, inputs, lookback, memory and source."""
    rows = [row for plugin, item in session.plugins.owned_indicators() for row in _rows(plugin, item)]
    console.show(rows, as_json, lambda: _show(rows))


def _rows(plugin: str, indicator: Indicator) -> list[dict[str, Any]]:
    return [
        {
            "feature": feature.name,
            "unit": feature.unit,
            "bounds": feature.bounds,
            "description": feature.description or indicator.description,
            "indicator": indicator.name,
            "params": dict(indicator.params),
            "inputs": _inputs(indicator),
            "lookback": indicator.lookback,
            "unstable": indicator.unstable,
            "memory": indicator.memory.value,
            "source": indicator.source,
            "version": indicator.version,
            "hash": indicator.hash,
            "plugin": plugin,
        }
        for feature in indicator.outputs
    ]


def _inputs(indicator: Indicator) -> list[str]:
    """Candle columns by their name, required features by theirs."""
    refs = indicator.requires
    return [refs[n].indicator.outputs[refs[n].output].name if n in refs else n for n in indicator.inputs]


def _show(rows: list[dict[str, Any]]) -> None:
    columns = ("feature", "unit", "inputs", "lookback", "unstable", "memory", "plugin", "source")
    console.table(columns, [[row[column] for column in columns] for row in rows])
    console.line(f"{len(rows)} features; --json shows descriptions, parameters and hashes too")
