"""A store named in one word: a backend, a backend with its first option, or a settings file."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs

from btcfs import backends
from btcfs.config import Config, load, masked
from btcfs.connection import connect, options_of
from btcfs.errors import ConfigError, NotFound
from btcfs.store import FeatureStore


@attrs.frozen
class Place:
    """A backend and the settings to open it with."""

    backend: str
    config: Config

    def open(self) -> FeatureStore:
        return connect(self.backend, config=self.config)

    @property
    def path(self) -> Path | None:
        """Where the backend keeps its files, None for one that has no option ``path``."""
        given = {**_paths(self.backend), **self.config.backends.get(self.backend, {})}.get("path")
        return Path(given).expanduser().resolve() if isinstance(given, (str, Path)) else None

    @property
    def title(self) -> str:
        """The backend with its options, a path in full and secrets hidden, as a journal names it."""
        given = self.config.backends.get(self.backend, {})
        known = {**_paths(self.backend), **given}
        if self.path is not None:
            known["path"] = str(self.path)
        return " ".join([self.backend, *(f"{name}={value}" for name, value in sorted(masked(known).items()))])


def place(text: str, options: Sequence[str] = (), *, config: Config | None = None) -> Place:
    """The store that a word names, with further ``name=value`` options.

    ``duckdb`` is that backend as configured, ``duckdb:PATH`` gives it its first option, and a word that ends in
    ``.toml`` is a settings file, whose backend is meant. ConfigError if it is none of these.
    """
    given = dict(_pair(option) for option in options)
    if text.endswith(".toml"):
        config = load(text)
        name = config.backend
    else:
        name, colon, first = text.partition(":")
        backends.find(name)
        config = load() if config is None else config
        if colon:
            given = {_first_option(name, text): first, **given}
    merged = {**config.backends, name: {**config.backends.get(name, {}), **given}}
    return Place(name, attrs.evolve(config, backends=merged))


def apart(one: Place, other: Place) -> None:
    """ConfigError if two places are the same."""
    if one.title == other.title and one.backend != "memory":
        raise ConfigError(f"both stores are {one.title}; name two, such as duckdb:OLD and duckdb:NEW")


def refuse_missing(place: Place) -> None:
    """NotFound if nothing is where the store should be: to open it there would make an empty one."""
    if place.path is not None and not place.path.exists():
        raise NotFound(f"there is no {place.backend} store at {place.path}; name a folder that holds one")


def _first_option(backend: str, text: str) -> str:
    known = [option for option in options_of(backend) if option != "defaults"]
    if not known or text.endswith(":"):
        raise ConfigError(f"{text!r}: behind the colon stands the first option of backend {backend!r}")
    return known[0]


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise ConfigError(f"option {text!r} is not NAME=VALUE, such as path=/data/store")
    return name.strip().replace("-", "_"), value


def _paths(backend: str) -> dict[str, Any]:
    """The default path of a backend that has one: two stores in one folder are the same store."""
    default = options_of(backend).get("path")
    return {} if default is None or default.default is inspect.Parameter.empty else {"path": default.default}
