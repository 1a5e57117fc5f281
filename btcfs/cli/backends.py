"""The command that shows the installed backends."""

from __future__ import annotations

from typing import Any

import click

from btcfs.cli import console
from btcfs.cli.session import Session, pass_session


@click.command(name="backends")
@click.option("--markdown", is_flag=True, help="Print what each declares as the table of the documentation.")
@console.json_option
@pass_session
def command(session: Session, markdown: bool, as_json: bool) -> None:
    """Show the backends that are installed, what each declares that it can do, its options, and which is configured."""
    from btcfs import capabilities
    from btcfs.connection import backends

    found = backends()
    if markdown:
        console.line(capabilities.markdown([(info.name, info.capabilities) for info in found]).rstrip())
        return
    chosen = session.config.backend
    value = [{**info.to_dict(), "configured": info.name == chosen} for info in found]
    console.show(value, as_json, lambda: _show(value))


def _show(rows: list[dict[str, Any]]) -> None:
    console.table(
        ("backend", "", "distribution", "declares", "options", "state"),
        [
            (
                row["name"],
                "configured" if row["configured"] else "",
                row["distribution"],
                _declares(row),
                row["options"],
                "ready" if row["loadable"] else row["error"],
            )
            for row in rows
        ],
    )
    for row in rows:
        for name, when in (row["capabilities"] or {}).items():
            if isinstance(when, str):
                console.line(f"{row['name']}: {name} {when}")


def _declares(row: dict[str, Any]) -> str:
    declared = row["capabilities"]
    if declared is None:
        return "when opened" if row["loadable"] else "-"
    return ", ".join(f"({name})" if isinstance(has, str) else name for name, has in declared.items() if has)
