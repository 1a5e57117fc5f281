"""Which backends are installed, by name, without importing any of them."""

from __future__ import annotations

from difflib import get_close_matches
from importlib.metadata import EntryPoint, entry_points

from btcfs.errors import ConfigError

GROUP = "btcfs.backends"


def names() -> list[str]:
    """The names of the installed backends, in alphabetical order."""
    return announced(GROUP)


def find(name: str) -> EntryPoint:
    """The entry point of that backend; ConfigError as ``only`` says."""
    return only(GROUP, "backend", name)


def announced(group: str) -> list[str]:
    """The names in a group of entry points, in alphabetical order."""
    return sorted({entry_point.name for entry_point in entry_points(group=group)})


def only(group: str, what: str, name: str, built_in: tuple[str, ...] = ()) -> EntryPoint:
    """The one entry point of that name in the group.

    ConfigError, with the installed and the nearest names, if there is none, or if two
    distributions announce it.
    """
    found = {entry_point.value: entry_point for entry_point in entry_points(group=group, name=name)}
    if not found:
        known = [*built_in, *announced(group)]
        raise ConfigError(f"no {what} named {name!r}; installed: {', '.join(known) or 'none'}{nearest(name, known)}")
    if len(found) > 1:
        owners = " and ".join(f"{distribution(e)} ({e.value})" for e in found.values())
        raise ConfigError(f"{what} {name!r} is announced by {owners}; uninstall one of them")
    return next(iter(found.values()))


def distribution(entry_point: EntryPoint) -> str:
    """The name of the distribution that announces the entry point."""
    return entry_point.dist.name if entry_point.dist is not None else "unknown"


def nearest(name: str, known: list[str]) -> str:
    """``"; did you mean duckdb?"`` for the closest known name, and nothing if none is close."""
    close = get_close_matches(name, known, n=1, cutoff=0.6)
    return f"; did you mean {close[0]}?" if close else ""
