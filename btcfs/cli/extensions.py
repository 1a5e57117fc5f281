"""Commands that other distributions add to ``btcfs``, by the entry-point group ``btcfs.commands``."""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points

import click

from btcfs.backends import distribution
from btcfs.errors import ConfigError

GROUP = "btcfs.commands"


def names() -> dict[str, str]:
    """The distribution that adds each command, by the command's name, without importing any."""
    return {e.name: distribution(e) for e in sorted(entry_points(group=GROUP), key=lambda e: e.name)}


def command(name: str) -> click.Command | None:
    """The command of that name, imported now; None if no distribution adds one.

    ConfigError, which names the command and its distribution, if it cannot be imported, is no
    click command, or is added twice.
    """
    found = {entry_point.value: entry_point for entry_point in entry_points(group=GROUP, name=name)}
    if not found:
        return None
    if len(found) > 1:
        owners = " and ".join(f"{distribution(e)} ({e.value})" for e in found.values())
        raise ConfigError(f"command {name!r} is added by {owners}; uninstall one of them")
    return _loaded(next(iter(found.values())))


def _loaded(entry_point: EntryPoint) -> click.Command:
    where = f"command {entry_point.name!r} of {distribution(entry_point)} ({entry_point.value})"
    try:
        loaded = entry_point.load()
    except (ImportError, AttributeError) as exc:
        raise ConfigError(f"{where} cannot be imported: {exc}; reinstall or uninstall that distribution") from exc
    if not isinstance(loaded, click.Command):
        raise ConfigError(f"{where} is {type(loaded).__name__}; expected a click command")
    return loaded
