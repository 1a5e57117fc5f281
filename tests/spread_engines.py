"""The engines that tests spread work over, with two workers each, how a test opens one, and a market with holes for them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

import attrs
import numpy as np
import pandas as pd
import pytest

from btcfs.connection import open_engine, open_source
from btcfs.engines import Engine
from btcfs.instants import parse_instant
from btcfs.plugins import installed_plugins
from btcfs.sources import CandleRequest, Fetched

OPTIONS: dict[str, dict[str, Any]] = {
    "processes": {"workers": 2},
    "spark": {"master": "local[2]"},
    "ray": {"workers": 2},
}
START, END, NOW = map(parse_instant, ("2021-01-03T05:00Z", "2021-03-02T17:00Z", "2024-01-01"))
SYMBOLS = ("AAA-USD", "BBB-USD", "CCC-USD")
_MODULES = {"spark": "pyspark", "ray": "ray"}


@attrs.define
class Gapped:
    """The sample market with holes in it: single candles, and ten days; ``CCC-USD`` opens shortly before the end."""

    name: str = "gapped"

    def fetch(self, request: CandleRequest) -> Fetched:
        fetched = open_source("sample", installed_plugins(), {}).fetch(request)
        frame = pd.concat(list(fetched.frames), ignore_index=True)
        times = frame["timestamp"]
        kept = np.random.default_rng(3).random(len(frame)) > 0.002
        kept &= ~times.between(pd.Timestamp("2021-01-20", tz="UTC"), pd.Timestamp("2021-01-30", tz="UTC"))
        if request.symbol == "CCC-USD":
            kept &= times >= pd.Timestamp("2021-02-20", tz="UTC")
        return Fetched([frame[kept].reset_index(drop=True)], fetched.report)


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
