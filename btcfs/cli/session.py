"""What the options before the command decide: the configuration, the store and the plugins it works with."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from btcfs.config import Config
    from btcfs.plugins import Plugins
    from btcfs.store import FeatureStore


class Session:
    """One run of the command line; everything is loaded when a command first asks for it."""

    def __init__(self, config_path: str | None = None, backend: str | None = None, debug: bool = False) -> None:
        self.debug = debug
        self.config_path = config_path
        self.backend = backend

    @cached_property
    def config(self) -> Config:
        return self.configure()

    @cached_property
    def plugins(self) -> Plugins:
        from btcfs.plugins import installed_plugins

        return installed_plugins(self.config.block_plugins)

    def configure(self, **arguments: Any) -> Config:
        """The configuration with a command's own options on top; an option of None counts as not given."""
        from btcfs.config import load

        return load(self.config_path, **{"backend": self.backend, **arguments})

    def open(self, config: Config | None = None, **options: Any) -> FeatureStore:
        """The configured store; close it, or use it in a with block."""
        from btcfs.connection import connect

        return connect(config=self.config if config is None else config, **options)


def pass_session(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the session as its first argument."""
    return click.make_pass_decorator(Session)(function)
