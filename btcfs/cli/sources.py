"""Which candle source a command means, and how it is opened."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from btcfs.errors import ConfigError

if TYPE_CHECKING:
    from btcfs.config import Config
    from btcfs.plugins import Plugins
    from btcfs.sources import Source

NAMED = ("path", "exchange", "seed")


def open_source(config: Config, plugins: Plugins, options: Mapping[str, Any]) -> Source:
    """The source that the options name, or else the configured one."""
    from btcfs.connection import open_source as opened

    given = {name: options[name] for name in NAMED if options.get(name) is not None}
    given.update(pairs("--source-option", options.get("source_option") or ()))
    name = options.get("source") or config.source
    if name is None:
        known = ", ".join(plugins.sources())
        raise ConfigError(
            f"no candle source named; add --source NAME (installed: {known}), such as --source sample, "
            f'or write [source] name = "csv" and path = "…" into btcfs.toml'
        )
    configured = config.source_options if name == config.source else {}
    return opened(name, plugins, {**configured, **given})


def pairs(option: str, texts: tuple[str, ...]) -> dict[str, str]:
    """The names and values of an option given as NAME=VALUE any number of times. ConfigError for another form."""
    found = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise ConfigError(f"{option} {text!r} is not NAME=VALUE")
        found[name.strip()] = value
    return found
