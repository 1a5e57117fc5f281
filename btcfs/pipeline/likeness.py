"""Whether a worker computes what the driver would: the same definitions, and the same bits on a trial market."""

from __future__ import annotations

import hashlib
import os
import platform
from collections.abc import Iterator
from functools import cache
from typing import Any

import attrs
import numpy as np

from btcfs.definitions import IndicatorRef
from btcfs.errors import BtcfsError, ConfigError
from btcfs.indicators import Indicator
from btcfs.pipeline.candles import CandleArrays
from btcfs.pipeline.compute import compute
from btcfs.pipeline.plan import Plan, plan
from btcfs.plugins import Plugins, installed_plugins

TRIAL_ROWS = 512  # beyond the lookback


@attrs.frozen
class Needed:
    """One indicator of a plan, and the plugin and distribution that it comes from."""

    ref: IndicatorRef
    plugin: str
    distribution: str

    def __str__(self) -> str:
        params = ", ".join(f"{name}={value}" for name, value in self.ref.params)
        return f"indicator {self.ref.name}({params}) of plugin {self.plugin!r} ({self.distribution})"


@attrs.frozen
class Recipe:
    """What a worker makes the driver's plan of, and proves that it is the same. ``trial`` has a hash for each feature."""

    interval: str
    features: tuple[str, ...]
    needed: tuple[Needed, ...]
    trial: tuple[str, ...]


def recipe(plan: Plan, plugins: Plugins) -> Recipe:
    """The recipe of a plan that was made of these plugins' indicators."""
    owners = {indicator.identity: plugin for plugin, indicator in plugins.owned_indicators()}
    needed = (Needed(i.ref, owners[i.identity], _distribution(plugins, owners[i.identity])) for i in plan.indicators)
    return Recipe(plan.interval, plan.feature_names, tuple(needed), tuple(_trial(plan)))


@cache
def same_plan(recipe: Recipe) -> Plan:
    """The plan made of this process's own plugins.

    ConfigError, naming this worker and the plugin or feature, if a plugin is not installed here, defines an
    indicator in another way, or computes it with other bits.
    """
    plugins = installed_plugins(())
    found = [_own(plugins, needed) for needed in recipe.needed]
    made = plan(found, recipe.interval, recipe.features)
    for name, ours, theirs in zip(recipe.features, _trial(made), recipe.trial, strict=True):
        if ours != theirs:
            raise ConfigError(
                f"{here()} computes {name} with other bits than the driver, though its definition is the same: the "
                f"library behind it, numpy (there {np.__version__}) or the processor differs; install the driver's versions there"
            )
    return made


def here() -> str:
    """This process, in words."""
    return f"worker {platform.node()} (process {os.getpid()})"


def _own(plugins: Plugins, needed: Needed) -> Indicator:
    remedy = f"install on every worker what the driver has: {needed.distribution}"
    try:
        offered = plugins.contributions(needed.plugin).indicators
        problem = plugins.info(needed.plugin).error
    except BtcfsError as exc:
        raise ConfigError(f"{here()} lacks {needed}: {exc}; {remedy}") from exc
    alike = [i for i in offered if (i.name, i.params) == (needed.ref.name, needed.ref.params)]
    if not alike:
        raise ConfigError(f"{here()} lacks {needed}: {problem or 'the plugin there has none of that name'}; {remedy}")
    if alike[0].ref != needed.ref:
        raise ConfigError(
            f"{here()} has another definition of {needed}: {alike[0].hash[:12]} there, "
            f"{needed.ref.hash[:12]} at the driver; {remedy}"
        )
    return alike[0]


def _distribution(plugins: Plugins, name: str) -> str:
    from importlib.metadata import PackageNotFoundError, version

    distribution = plugins.info(name).distribution
    try:
        return f"{distribution} {version(distribution)}"
    except PackageNotFoundError:  # of a plugin object that this program registered
        return distribution


def _trial(plan: Plan) -> Iterator[str]:
    """A hash of each feature's bits on the trial market."""
    block = compute(plan, _market(plan.lookback + TRIAL_ROWS, plan.step))
    return (_hash(np.where(np.isnan(column), np.nan, column)) for column in block.columns)


def _hash(column: np.ndarray[Any, Any]) -> str:
    return hashlib.sha256(column.tobytes()).hexdigest()[:16]


def _market(rows: int, step: int) -> CandleArrays:
    """A market that whole numbers alone decide, so that every machine and every numpy has the same."""
    state, moves = 1, []
    for _ in range(4 * rows):
        state = (state * 6_364_136_223_846_793_005 + 1_442_695_040_888_963_407) % 2**64
        moves.append(state >> 33)
    move, up, down, volume = np.array(moves, dtype="int64").reshape(4, rows)
    close = 4_000_000 + np.cumsum(move % 20_001 - 10_000)
    close = np.maximum(close, 100_000)
    opened = np.concatenate((close[:1], close[:-1]))
    columns = (
        opened,
        np.maximum(opened, close) + up % 5_000,
        np.minimum(opened, close) - down % 5_000,
        close,
        volume % 1_000_000,
    )
    first = 17_897 * 86_400_000_000 // step * step  # in 2019, on the grid
    return CandleArrays(first + np.arange(rows) * step, *(column / 100 for column in columns), step=step)
