"""One view's features for a request: the stored vector, or the same features computed from the candle that came with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from btcfs import catalogue
from btcfs.definitions import FeatureGroup, FeatureView
from btcfs.errors import DefinitionError, NotFound, StoreBusy, StoreUnavailable
from btcfs.instants import from_micros, to_micros
from btcfs.instants import now as present
from btcfs.online.cache import CAPACITY, KnownVector, VectorCache
from btcfs.online.computed import Candle, CandleFeatures
from btcfs.pipeline.plan import step_micros
from btcfs.pipeline.spacing import open_time
from btcfs.plugins import Plugins
from btcfs.store import FeatureStore

if TYPE_CHECKING:
    Floats = np.ndarray[Any, np.dtype[np.float64]]

NOT_STORED = "the candle is not stored; its features were computed from stored history"


class Features(msgspec.Struct, frozen=True, eq=False):
    """A model's input and where it comes from; times in microseconds.

    ``source`` is the backend's name, ``cache`` for a vector read from it before, or ``local`` for
    features computed here; ``fallback_reason`` says why they are, or why a mirror answered.
    ``outputs`` is what the model made of them, empty until it did; it goes with the vector in the cache.
    """

    values: Floats
    symbol: str
    timestamp: int
    event_time: int
    source: str
    fallback_reason: str | None = None
    outputs: list[float] = msgspec.field(default_factory=list)


class OnlineFeatures:
    """The features of one view whose first group is keyed by symbol and timestamp.

    DefinitionError for any other view; NotFound if the view or one of its groups is not stored.
    ``candles`` is the group whose rows the features are computed from, ``capacity`` the most vectors kept.
    """

    def __init__(
        self,
        store: FeatureStore,
        view: FeatureView,
        candles: FeatureGroup,
        plugins: Plugins,
        *,
        capacity: int = CAPACITY,
    ) -> None:
        definitions = store.definitions()
        catalogue.same(definitions, view)
        resolved = catalogue.resolve(definitions, view)
        self.view = view
        self.group = resolved.leading
        if set(self.group.primary_key) != {"symbol", "timestamp"} or self.group.interval is None:
            raise DefinitionError(
                f"view {view.title} is looked up by {self.group.primary_key} of {self.group.title}; "
                f"serving needs candles keyed by symbol and timestamp"
            )
        self.step = step_micros(self.group.interval)
        self.cache = VectorCache(store, view, capacity)
        self._computed: CandleFeatures | DefinitionError
        try:
            if len(resolved.parts) > 1:
                raise DefinitionError(
                    f"view {view.title} has features of several groups; they come from the store only"
                )
            self._computed = CandleFeatures(store, self.group, candles, plugins)
        except DefinitionError as exc:
            # Stored vectors can be served all the same; whoever posts another candle is told this.
            self._computed = exc

    def open_time(self, instant: int) -> int:
        """The open time of the candle in which that instant lies, all in microseconds."""
        return open_time(instant, self.step)

    def stored(self, symbol: str, timestamp: int | None = None) -> Features:
        """The stored vector of the candle that opens then, or of the newest one. NotFound if there is none."""
        known, cached = self.cache.get(symbol, timestamp)
        return self._found(symbol, known, cached)

    def known_at(self, symbol: str, instant: int) -> Features:
        """The newest stored vector that was known at that instant. NotFound if there is none.

        That is the candle that closed last at the instant; across a gap, the newest one of all if it was known.
        """
        try:
            return self.stored(symbol, self.open_time(instant) - self.step)
        except NotFound:
            newest = self.stored(symbol)
            if newest.event_time > instant:
                raise
            return newest

    def of(self, symbol: str, candle: Candle) -> Features:
        """The stored vector of that candle if there is one, else its features computed from the candle.

        NotFound is not raised: without a stored vector, what the computation raises is
        InsufficientHistory, or DefinitionError if the installed indicators are not the group's.
        """
        try:
            return self.stored(symbol, candle.timestamp)
        except NotFound:
            return self.computed(symbol, candle, NOT_STORED)
        except (StoreBusy, StoreUnavailable) as exc:
            return self.computed(symbol, candle, f"the store cannot be read: {exc}")

    def computed(self, symbol: str, candle: Candle, reason: str) -> Features:
        """The features of the candle, computed; ``reason`` says why they are not the stored ones."""
        if isinstance(self._computed, DefinitionError):
            raise DefinitionError(f"no stored vector, and none can be computed: {self._computed}") from self._computed
        done = self._computed.compute(symbol, candle)
        values = np.array([done.values[name] for name in self.view.features])
        self._refuse_missing(symbol, candle.timestamp, np.isnan(values))
        reason = "; ".join((reason, *done.doubts))
        return Features(values, symbol, candle.timestamp, candle.timestamp + self.step, "local", reason)

    def warm(self, symbol: str) -> None:
        """Read what the first request would have to wait for: the newest vector and the candles before the next one."""
        if isinstance(self._computed, CandleFeatures):
            self._computed.warm(symbol)
        try:
            self.stored(symbol)
        except NotFound:
            return  # nothing stored yet: nothing to warm

    def _found(self, symbol: str, known: KnownVector, cached: bool) -> Features:
        if known.missing:
            missing = np.isin(self.view.features, known.missing)
            self._refuse_missing(symbol, known.timestamp, missing)
        source = "cache" if cached else known.vector.source
        reason = known.vector.fallback_reason
        return Features(known.vector.values, symbol, known.timestamp, known.event_time, source, reason, known.outputs)

    def _refuse_missing(self, symbol: str, timestamp: int, missing: np.ndarray[Any, Any]) -> None:
        if not missing.any():
            return
        names = [name for name, absent in zip(self.view.features, missing, strict=True) if absent]
        shown = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
        raise NotFound(
            f"the {symbol} candle of {from_micros(timestamp)} has no value for {shown}: the history before it is too "
            f"short or they are undefined there; a model is never fed blanks. Ask for a later candle"
        )


def age_seconds(event_time: int, at: int | None = None) -> float:
    """Seconds since that instant; 0 if it lies ahead, as the close of a forming candle does."""
    return max(0, (to_micros(present()) if at is None else at) - event_time) / 1_000_000
