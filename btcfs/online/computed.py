"""The features of a candle that is not stored yet, by the code that ingestion runs, from stored history and that candle."""

from __future__ import annotations

import math
from collections.abc import Hashable
from threading import Lock
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np

from btcfs.definitions import FeatureGroup
from btcfs.differences import differences
from btcfs.errors import DefinitionError, InsufficientHistory, StoreBusy, StoreUnavailable
from btcfs.instants import from_micros, to_micros
from btcfs.online.changes import change_probe
from btcfs.pipeline.candles import CandleArrays
from btcfs.pipeline.compute import compute_new
from btcfs.pipeline.history import CandleHistory
from btcfs.pipeline.plan import Plan, plan
from btcfs.pipeline.rules import move_limit
from btcfs.plugins import Plugins
from btcfs.store import FeatureStore

if TYPE_CHECKING:
    Floats = np.ndarray[Any, np.dtype[np.float64]]

KEPT = 8  # histories held, each of one symbol and segment


@attrs.frozen(slots=False)  # made for each request, and faster without slots
class Candle:
    """A candle to predict from: its open time in microseconds, prices in the quote currency, volume in the base one."""

    timestamp: int
    open: float
    high: float
    low: float
    close: float
    volume: float

    def arrays(self, step: int) -> CandleArrays:
        """The candle as arrays of one row."""
        values = (np.array([v]) for v in (self.open, self.high, self.low, self.close, self.volume))
        return CandleArrays(np.array([self.timestamp], dtype="int64"), *values, step=step)


@attrs.frozen(eq=False)
class Computed:
    """Feature values by name, and what speaks against them: a history that is not the newest, prices in another unit."""

    values: dict[str, float]
    doubts: tuple[str, ...] = ()


@attrs.frozen(eq=False)
class _Held:
    token: Hashable
    candles: CandleArrays


class CandleFeatures:
    """Computes one group's features for candles that follow those stored.

    The history a candle needs is read once and again only after a commit to the candle group. If
    that read fails because the store is busy or away, the history held is used and the reason is
    in the result. Safe for use by several threads; each history is read by one of them at a time.
    """

    def __init__(self, store: FeatureStore, group: FeatureGroup, candles: FeatureGroup, plugins: Plugins) -> None:
        self.group = group
        self.plan = plan_of(group, plugins)
        self._store = store
        self._candles = candles
        self._probe = change_probe(store)
        self._held: dict[tuple[str, int], _Held] = {}
        self._lock = Lock()

    def compute(self, symbol: str, candle: Candle) -> Computed:
        """The group's features for that candle.

        InsufficientHistory unless the stored candles reach up to it and back over the lookback.
        """
        history, stale = self._history(symbol, candle.timestamp)
        step = self.plan.step
        before = history.rows(0, int(np.searchsorted(history.timestamp, candle.timestamp)))
        have = len(before) + 1 if len(before) and before.timestamp[-1] == candle.timestamp - step else 1
        needed = self.plan.lookback + 1
        if have < needed:
            until = f", the newest stored before it opens {from_micros(before.timestamp[-1])}" if len(before) else ""
            raise InsufficientHistory(
                needed, have, f"the features of the {symbol} candle of {from_micros(candle.timestamp)}{until}"
            )
        block = compute_new(self.plan, before, candle.arrays(step))
        values = {name: float(column[0]) for name, column in zip(block.names, block.columns, strict=True)}
        return Computed(values, tuple(doubt for doubt in (stale, _far_off(candle, before)) if doubt is not None))

    def warm(self, symbol: str) -> None:
        """Read the history that the candle after the newest stored one needs, if any is stored."""
        newest = CandleHistory(self._store, self._candles, symbol).newest()
        if newest is not None:
            self._history(symbol, to_micros(newest) + self.plan.step)

    def _history(self, symbol: str, timestamp: int) -> tuple[CandleArrays, str | None]:
        start = self.plan.first_needed_micros(timestamp)
        key = (symbol, start)
        with self._lock:
            token = None if self._probe is None else self._probe([self._candles.ref])
            held = self._held.get(key)
            if held is not None and held.token == token and token is not None:
                return held.candles, None
            try:
                candles = CandleHistory(self._store, self._candles, symbol).between(
                    from_micros(start), from_micros(start + (self.plan.warmup + self.plan.segment) * self.plan.step)
                )
            except (StoreBusy, StoreUnavailable) as exc:
                if held is None:
                    raise
                return held.candles, f"candle history could not be brought up to date: {exc}"
            self._held.pop(key, None)
            self._held[key] = _Held(token, candles)
            while len(self._held) > KEPT:
                del self._held[next(iter(self._held))]
            return candles, None


def _far_off(candle: Candle, before: CandleArrays) -> str | None:
    """That the candle's prices cannot follow those before it, as the rule ``move`` of ingestion says of stored ones."""
    close = float(before.close[-1])
    furthest = max(abs(math.log(candle.high / close)), abs(math.log(candle.low / close)))
    if furthest <= move_limit(before.step):
        return None
    return f"its prices are far from {close:g}, the close before it: they may be in another unit"


def plan_of(group: FeatureGroup, plugins: Plugins) -> Plan:
    """The plan by which the installed indicators compute a stored group.

    DefinitionError if they are not those the group was computed with.
    """
    if group.interval is None or not group.indicators:
        raise DefinitionError(f"{group.title} does not say by which indicators and interval it is computed")
    made = plan(plugins.indicators(), group.interval, group.feature_names)
    lines = differences(group, made.group(group.name, group.version))
    if lines:
        raise DefinitionError(
            f"the installed indicators are not those of {group.title}: {'; '.join(lines[:5])}. "
            f"Install what wrote it, or ingest into version {group.version + 1}"
        )
    return made
