"""The command that shows the installed backends."""

from __future__ import annotations

import click

from btcfs.cli import console
from btcfs.cli.session import Session, pass_session


@click.command(name="backends")
@console.json_option
@pass_session
def command(session: Session, as_json: bool) -> None:
    """Show the backends that are installed, their options, and which one is configured."""
    from btcfs.connection import backends

    found = backends()
    chosen = session.config.backend
    value = [{**info.to_dict(), "configured": info.name == chosen} for info in found]
    console.show(value, as_json, lambda: _show(value))


def _show(rows: list[dict[str, object]]) -> None:
    console.table(
        ("backend", "", "distribution", "options", "state"),
        [
            (row["name"], "configured" if row["configured"] else "", row["distribution"], row["options"], _state(row))
            for row in rows
        ],
    )


def _state(row: dict[str, object]) -> object:
    return "ready" if row["loadable"] else row["error"]
