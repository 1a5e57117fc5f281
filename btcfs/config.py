"""The settings of one program run, each with where it came from.

Precedence: argument > environment ``BTCFS_*`` > ``.env`` > file > default. The file is ``btcfs.toml``,
or ``[tool.btcfs]`` in ``pyproject.toml``, in the working folder; no parent folder is searched.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import attrs

from btcfs import backends as installed_backends
from btcfs.backends import nearest
from btcfs.definitions import parse_interval
from btcfs.errors import ConfigError, DefinitionError
from btcfs.settings import SECTIONS, Entry, from_dotenv, from_environment, from_file
from btcfs.settings import is_secret as is_secret

MASK = "********"
DEFAULT = "default"


@attrs.frozen
class Setting:
    """One plain setting: its name, what it must be (text, count or names), its default and meaning."""

    name: str
    kind: str
    default: Any
    description: str


SETTINGS = (
    Setting("backend", "text", "duckdb", "which backend connect() opens"),
    Setting("symbol", "text", "BTC-USD", "the market that a key without a symbol means"),
    Setting("interval", "text", "1d", "the length of one candle: 1m, 1h, 1d"),
    Setting("group", "text", "bitcoin_features", "the feature group that ingest writes"),
    Setting("version", "count", 1, "the version of that group"),
    Setting("candles", "text", "bitcoin_candles", "the group that keeps the candles themselves"),
    Setting("features", "names", (), "the features to compute; empty means all that are installed"),
    Setting("block_plugins", "names", (), "plugins that are not loaded"),
)
_PLAIN = {setting.name: setting for setting in SETTINGS}


def masked(options: Mapping[str, Any]) -> dict[str, Any]:
    """The same options with every secret hidden."""
    return {
        name: masked(value) if isinstance(value, Mapping) else MASK if is_secret(name) else value
        for name, value in options.items()
    }


def _masked_repr(options: Mapping[str, Any]) -> str:
    return repr(masked(options))


@attrs.frozen
class Config:
    """Every setting. ``backends`` holds the options of each backend, ``source_options`` those of the source,
    ``fallback_options`` those of the mirror that answers while the backend is away, ``engine_options`` those of
    the engine that backfills compute on.

    ``origins`` says where each value that is not a default came from, by its dotted name.
    """

    backend: str = "duckdb"
    symbol: str = "BTC-USD"
    interval: str = "1d"
    group: str = "bitcoin_features"
    version: int = 1
    candles: str = "bitcoin_candles"
    features: tuple[str, ...] = ()
    block_plugins: tuple[str, ...] = ()
    backends: Mapping[str, Mapping[str, Any]] = attrs.field(factory=dict, repr=_masked_repr)
    source: str | None = None
    source_options: Mapping[str, Any] = attrs.field(factory=dict, repr=_masked_repr)
    fallback: str | None = None
    fallback_options: Mapping[str, Any] = attrs.field(factory=dict, repr=_masked_repr)
    engine: str | None = None
    engine_options: Mapping[str, Any] = attrs.field(factory=dict, repr=_masked_repr)
    origins: Mapping[str, str] = attrs.field(factory=dict, repr=False)

    def stated(self, name: Literal["candles", "group"]) -> str | None:
        """A group's name if somebody stated it; None where it is the default, which each interval has of its own."""
        value: str = getattr(self, name)
        return value if name in self.origins else None

    def rows(self) -> list[tuple[str, Any, str]]:
        """(dotted name, value with secrets hidden, origin) of every setting, for a person or a program."""
        values: dict[str, Any] = {name: getattr(self, name) for name in _PLAIN}
        for backend, options in self.backends.items():
            values.update({f"backends.{backend}.{name}": value for name, value in masked(options).items()})
        for section in SECTIONS:
            values[f"{section}.name"] = getattr(self, section)
            options = masked(getattr(self, f"{section}_options"))
            values.update({f"{section}.{name}": value for name, value in options.items()})
        return [(name, value, self.origins.get(name, DEFAULT)) for name, value in values.items()]


def load(
    path: str | Path | None = None,
    environ: Mapping[str, str] | None = None,
    cwd: str | Path | None = None,
    **arguments: Any,
) -> Config:
    """The settings in force.

    ``path`` names the file instead of looking for it in ``cwd`` (default: the working folder), as
    ``BTCFS_CONFIG`` does; ``environ`` is ``os.environ`` by default and is never changed.
    ``arguments`` are settings by name, and the mappings ``source_options``, ``fallback_options``, ``engine_options`` and ``backends``; one of
    None counts as not given. ConfigError, naming the setting and where it stands, for an unknown
    name or a wrong type.
    """
    environ = os.environ if environ is None else environ
    folder = Path.cwd() if cwd is None else Path(cwd)
    backends = installed_backends.names()
    layers = [
        from_file(folder, path or environ.get("BTCFS_CONFIG") or None),
        from_dotenv(folder / ".env", backends, environ),
        from_environment(environ, backends, "environment"),
        _from_arguments(arguments),
    ]
    entries: dict[str, Entry] = {}
    for layer in layers:
        for name, entry in layer.items():
            _refuse_unknown(name, entry, backends)
            entries[name] = entry
    return _assembled(entries)


def _from_arguments(arguments: Mapping[str, Any]) -> dict[str, Entry]:
    flat: dict[str, Any] = {}
    for name, value in arguments.items():
        if name.removesuffix("_options") in SECTIONS and name.endswith("_options"):
            flat.update({f"{name.removesuffix('_options')}.{option}": v for option, v in value.items()})
        elif name == "backends":
            flat.update({f"backends.{b}.{option}": v for b, options in value.items() for option, v in options.items()})
        else:
            flat[f"{name}.name" if name in SECTIONS else name] = value
    return {name: Entry(value, "argument") for name, value in flat.items() if value is not None}


def _refuse_unknown(name: str, entry: Entry, backends: list[str]) -> None:
    first, _, rest = name.partition(".")
    if name in _PLAIN or (first in SECTIONS and rest):
        return
    if first == "backends" and rest:
        backend = rest.partition(".")[0]
        if backend in backends:
            return
        raise ConfigError(
            f"{entry.place}: no backend named {backend!r}; installed: {', '.join(backends) or 'none'}"
            f"{nearest(backend, backends)}"
        )
    known = [*_PLAIN, *SECTIONS, "backends"]
    raise ConfigError(f"{entry.place}: unknown setting {name!r}{nearest(name, known)}; known are {', '.join(known)}")


def _assembled(entries: Mapping[str, Entry]) -> Config:
    plain = {name: _typed(_PLAIN[name], entry) for name, entry in entries.items() if name in _PLAIN}
    backends: dict[str, dict[str, Any]] = {}
    sections: dict[str, dict[str, Any]] = {section: {} for section in SECTIONS}
    for name, entry in entries.items():
        first, _, rest = name.partition(".")
        if first == "backends":
            backend, _, option = rest.partition(".")
            backends.setdefault(backend, {})[option] = entry.value
        elif first in SECTIONS:
            sections[first][rest] = _text(first, entry) if rest == "name" else entry.value
    return Config(
        **plain,
        backends=backends,
        source=sections["source"].pop("name", None),
        source_options=sections["source"],
        fallback=sections["fallback"].pop("name", None),
        fallback_options=sections["fallback"],
        engine=sections["engine"].pop("name", None),
        engine_options=sections["engine"],
        origins={name: entry.origin for name, entry in entries.items()},
    )


def _typed(setting: Setting, entry: Entry) -> Any:
    if setting.kind == "count":
        return _count(setting.name, entry)
    if setting.kind == "names":
        return _names(setting.name, entry)
    text = _text(setting.name, entry)
    if setting.name == "interval":
        try:
            parse_interval(text)
        except DefinitionError as exc:
            raise ConfigError(f"{entry.place}: {exc}") from exc
    return text


def _text(name: str, entry: Entry) -> str:
    if not isinstance(entry.value, str) or not entry.value.strip():
        raise ConfigError(f"{entry.place}: {name} is {entry.value!r}, expected a text")
    return entry.value.strip()


def _count(name: str, entry: Entry) -> int:
    value = entry.value
    if isinstance(value, str) and value.strip().isdecimal():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ConfigError(f"{entry.place}: {name} is {entry.value!r}, expected a whole number of at least 1")
    return value


def _names(name: str, entry: Entry) -> tuple[str, ...]:
    value = entry.value.split(",") if isinstance(entry.value, str) else entry.value
    if not isinstance(value, (list, tuple)) or not all(isinstance(item, str) for item in value):
        raise ConfigError(f"{entry.place}: {name} is {entry.value!r}, expected a list of names")
    return tuple(item.strip() for item in value if item.strip())
