"""How a command shows its result: lines and tables for a person, JSON for a program."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path
from typing import Any

import click

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON value instead of text.")


def show_json(value: Any) -> None:
    """One JSON document on standard output; instants in ISO 8601, sets sorted, a missing float null."""
    click.echo(json.dumps(_plain(value), indent=2, allow_nan=False))


def show(value: Any, as_json: bool, text: Callable[[], None]) -> None:
    """The value as JSON if asked for, else whatever ``text`` prints."""
    if as_json:
        show_json(value)
    else:
        text()


def line(text: str = "") -> None:
    """One line for a person, on standard output."""
    click.echo(text)


def step(number: int, of: int, text: str) -> None:
    """The heading of one step of a longer job."""
    click.echo(f"[{number}/{of}] {text}")


def done(text: str) -> None:
    """A line that says that something is as it should be."""
    click.echo(f"{click.style('✓', fg='green')} {text}")


def warning(text: str) -> None:
    """A line on standard error that asks for attention."""
    click.echo(f"{click.style('!', fg='yellow')} {text}", err=True)


def failure(text: str) -> None:
    """A line on standard error that says what failed."""
    click.echo(f"{click.style('✗', fg='red')} {text}", err=True)


def width() -> int:
    """How many characters a line may have; without a terminal any number, so that a log or a pipe holds whole lines."""
    from rich.console import Console

    console = Console()
    return console.width if console.is_terminal else 10_000


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]], title: str | None = None) -> None:
    """A table on standard output; numbers stand to the right, and what does not fit is wrapped."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    cells = [list(row) for row in rows]
    drawn = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for index, column in enumerate(columns):
        numeric = bool(cells) and all(isinstance(row[index], (int, float)) for row in cells)
        drawn.add_column(column, justify="right" if numeric else "left", overflow="fold")
    for row in cells:
        drawn.add_row(*(Text(_cell(value)) for value in row))
    Console(width=width()).print(drawn, crop=False)


@contextmanager
def progress(description: str, total: int | None = None, *, hidden: bool = False) -> Iterator[Callable[[int], None]]:
    """A bar on standard error; the function given advances it by so many. Nothing is drawn without a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    disable = hidden or not console.is_terminal
    with Progress(*columns, console=console, transient=True, disable=disable) as bar:
        task = bar.add_task(description, total=total)
        yield lambda count: bar.advance(task, count)


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, (list, tuple)):
        return ", ".join(_cell(item) for item in value) or "none"
    return str(value)


def _plain(value: Any) -> Any:
    if isinstance(value, (str, int, bool)) or value is None:
        return value
    if isinstance(value, float):
        return value if value - value == 0.0 else None
    if isinstance(value, (datetime, date)):
        return value.isoformat()
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (set, frozenset)):
        return sorted(_plain(item) for item in value)
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if hasattr(value, "to_dict"):
        return _plain(value.to_dict())
    if hasattr(value, "item"):  # a numpy scalar
        return _plain(value.item())
    raise TypeError(f"{value!r} of type {type(value).__name__} has no JSON form")
