"""The command that makes a folder ready: a .env for its owner alone, a btcfs.toml, and .env in .gitignore."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import click

from btcfs.cli import console
from btcfs.cli.config import template
from btcfs.errors import ConfigError

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@click.command(name="init")
@click.option("--set", "pairs", multiple=True, metavar="NAME=VALUE", help="A variable for .env; may be repeated.")
@click.option(
    "--secret", "secrets", multiple=True, metavar="NAME", help="A variable for .env whose value is asked for."
)
@console.json_option
def command(pairs: tuple[str, ...], secrets: tuple[str, ...], as_json: bool) -> None:
    """Write .env (mode 0600), btcfs.toml and .gitignore in the working folder; what is there already stays.

    A variable that stands in .env is replaced, never written twice. The value of a secret is read from the
    terminal without showing it, or from standard input, so that it is in no history.
    """
    values = dict(_pair(pair) for pair in pairs)
    for name in map(_name, secrets):
        values[name] = click.prompt(name, hide_input=True, err=True)
    folder = Path.cwd()
    try:
        written = {
            ".env": _env(folder / ".env", values),
            "btcfs.toml": _absent(folder / "btcfs.toml", template()),
            ".gitignore": _ignore(folder / ".gitignore"),
        }
    except OSError as exc:
        raise ConfigError(f"cannot write in {folder}: {exc}") from exc
    value: dict[str, Any] = {"folder": folder, "written": [name for name, changed in written.items() if changed]}
    console.show(value, as_json, lambda: _show(value))


def _show(value: dict[str, Any]) -> None:
    console.done(f"wrote {', '.join(value['written'])}" if value["written"] else "everything is there already")
    console.line("btcfs doctor checks the settings and the store")


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise ConfigError(f"--set {text!r} has no '='; write --set NAME=VALUE, or --secret NAME to be asked")
    return _name(name), value


def _name(name: str) -> str:
    if _VARIABLE.fullmatch(name) is None:
        raise ConfigError(f"{name!r} is no name of a variable; expected one such as BTCFS_BACKEND")
    return name


def _env(path: Path, values: dict[str, str]) -> bool:
    """Whether the file had to be written. Its other lines stay as they are, and it is for its owner alone."""
    old = path.read_text(encoding="utf-8") if path.exists() else None
    if old is not None:
        path.chmod(0o600)
    lines = [line for line in (old or "").splitlines() if _named(line) not in values]
    lines += [f"{name}='{_quoted(name, value)}'" for name, value in values.items()]
    text = "".join(f"{line}\n" for line in lines)
    if text == old or (old is not None and sorted(text.splitlines()) == sorted(old.splitlines())):
        return False
    new = path.with_name(".env.new")
    with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    new.replace(path)
    return True


def _quoted(name: str, value: str) -> str:
    if "\n" in value or "'" in value:
        raise ConfigError(f"the value of {name} has a line break or a quote, which .env cannot hold; use {name}_FILE")
    return value


def _named(line: str) -> str:
    return line.strip().removeprefix("export ").partition("=")[0].strip()


def _absent(path: Path, text: str) -> bool:
    if path.exists():
        return False
    path.write_text(text, encoding="utf-8")
    return True


def _ignore(path: Path) -> bool:
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    if any(line.strip() in (".env", "/.env", ".env*") for line in text.splitlines()):
        return False
    path.write_text(f"{text}{'' if not text or text.endswith(chr(10)) else chr(10)}.env\n", encoding="utf-8")
    return True
