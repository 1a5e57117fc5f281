"""The engines that tests spread work over, with two workers each, and how a test opens one."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

import pytest

from btcfs.connection import open_engine
from btcfs.engines import Engine

OPTIONS: dict[str, dict[str, Any]] = {
    "processes": {"workers": 2},
    "spark": {"master": "local[2]"},
    "ray": {"workers": 2},
}
_MODULES = {"spark": "pyspark", "ray": "ray"}


def needed(name: str) -> None:
    """Skip the test where the engine's extra, or Java, is not installed."""
    if find_spec(_MODULES.get(name, "btcfs")) is None:
        pytest.skip(f"the extra {name!r} is not installed")
    if name == "spark" and shutil.which("java") is None:
        pytest.skip("Spark needs Java; .ci/services.sh java installs it")


@contextmanager
def opened(name: str) -> Iterator[Engine]:
    """The engine with two workers, for a with block."""
    needed(name)
    engine = open_engine(name, OPTIONS[name])
    assert engine is not None
    try:
        yield engine
    finally:
        engine.close()


def command_line(name: str) -> list[str]:
    """The options that choose the same engine on the command line."""
    given = [part for option, value in OPTIONS[name].items() for part in ("--engine-option", f"{option}={value}")]
    return ["--engine", name, *given]
