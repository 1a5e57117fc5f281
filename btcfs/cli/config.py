"""The commands that show the settings in force and write a first settings file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from btcfs.cli import console
from btcfs.cli.session import Session, pass_session
from btcfs.errors import ConfigError


@click.group(name="config")
def command() -> None:
    """Show the settings with their origin; write a first btcfs.toml."""


@command.command()
@console.json_option
@pass_session
def show(session: Session, as_json: bool) -> None:
    """Show each setting, its value and where it came from; secrets are hidden."""
    rows = session.config.rows()
    value = {name: {"value": value, "origin": origin} for name, value, origin in rows}
    console.show(value, as_json, lambda: console.table(("setting", "value", "origin"), rows))


@command.command()
@click.option("--force", is_flag=True, help="Replace a file that is there.")
@console.json_option
def init(force: bool, as_json: bool) -> None:
    """Write a btcfs.toml with every setting in the working folder."""
    file = Path("btcfs.toml")
    text = template()
    there = file.exists()
    if there and not force and file.read_text(encoding="utf-8") != text:
        raise ConfigError(f"{file.resolve()} is there and has other content; btcfs config init --force replaces it")
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as exc:
        raise ConfigError(f"cannot write {file.resolve()}: {exc}") from exc
    value = {"path": str(file.resolve()), "replaced": there}
    console.show(
        value, as_json, lambda: console.done(f"wrote {file.resolve()}; btcfs config show shows what is in force")
    )


def template() -> str:
    """Every setting with its meaning, its default commented out."""
    from btcfs.config import SETTINGS

    lines = ["# Settings of btcfs; the defaults stand behind the #. Secrets belong in the environment or in .env.", ""]
    for setting in SETTINGS:
        lines.append(f"# {setting.name} = {_toml(setting.default)}  # {setting.description}")
    lines += [
        "",
        "[backends.duckdb]",
        '# path = ".btcfs"',
        "",
        "[fallback]",
        '# name = "duckdb"',
        "# deadline = 1.0",
        "",
        "[engine]",
        '# name = "local"',
        "",
        "[source]",
        '# name = "sample"',
        "# seed = 7",
        "",
    ]
    return "\n".join(lines)


def _toml(value: Any) -> str:
    if isinstance(value, tuple):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    return f'"{value}"' if isinstance(value, str) else str(value)
