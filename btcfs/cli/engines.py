"""Which engine a command means, and how it is opened."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from btcfs.cli.sources import pairs

if TYPE_CHECKING:
    from btcfs.config import Config
    from btcfs.engines import Engine


@contextmanager
def opened_engine(config: Config, options: Mapping[str, Any]) -> Iterator[Engine | None]:
    """The engine that the options name, or else the configured one, or else none; closed at the end of the block."""
    from btcfs.connection import open_engine
    from btcfs.engines import LOCAL

    name = options.get("engine") or config.engine or LOCAL
    configured = config.engine_options if name == config.engine else {}
    engine = open_engine(name, {**configured, **pairs("--engine-option", options.get("engine_option") or ())})
    try:
        yield engine
    finally:
        if engine is not None:
            engine.close()
