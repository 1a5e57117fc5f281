"""Feature groups and views as the guide handles them: with attributes and a few calls, over one store."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Mapping, Sequence
from datetime import datetime
from itertools import repeat
from operator import contains
from typing import TYPE_CHECKING, Any, Literal

import attrs
import numpy as np

from btcfs import catalogue
from btcfs.definitions import TIME_KEY, FeatureGroup, FeatureView
from btcfs.errors import NotFound, SchemaError
from btcfs.instants import from_micros, to_micros
from btcfs.online.cache import VectorCache
from btcfs.online.changes import change_probe
from btcfs.online.matrix import as_matrix
from btcfs.online.windows import FeatureWindow, get_feature_window
from btcfs.pipeline.plan import step_micros
from btcfs.pipeline.spacing import open_time
from btcfs.store import Capability, FeatureStore, FeatureVector

if TYPE_CHECKING:
    Floats = np.ndarray[Any, np.dtype[np.float64]]

MOST_KEYS = 10_000
Missing = Literal["error", "null", "skip"]


@attrs.frozen
class CommitReport:
    """What an ingest of a frame did; counts are rows. ``duplicates`` gave way to a later row of the same key."""

    rows_in: int
    inserted: int
    updated: int
    unchanged: int
    rejected: int
    duplicates: int
    commit_id: str | None
    range: tuple[datetime, datetime] | None
    warnings: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        return attrs.asdict(self)


@attrs.define
class GroupHandle:
    """A feature group by name and version; ``definition`` is None until it is stored.

    ``id`` is a number that follows from the group's name and version.
    """

    store: FeatureStore
    name: str
    version: int
    description: str
    definition: FeatureGroup | None = None

    @property
    def id(self) -> int:
        return stable_id(self.name, self.version)

    @property
    def primary_key(self) -> tuple[str, ...]:
        return ("symbol", TIME_KEY) if self.definition is None else self.definition.primary_key

    @property
    def event_time(self) -> str:
        return "event_time" if self.definition is None else self.definition.event_time

    @property
    def online_enabled(self) -> bool:
        return Capability.ONLINE in self.store.capabilities


class ViewHandle:
    """A feature view with the guide's calls. ``symbol`` is meant by keys that name none."""

    def __init__(self, store: FeatureStore, view: FeatureView, symbol: str) -> None:
        self.store = store
        self.view = view
        self.symbol = symbol
        self._cache = VectorCache(store, view)
        self._probe = change_probe(store)
        self._step: tuple[Hashable, int | None] | None = None  # with the state of the groups it was found in

    @property
    def name(self) -> str:
        return self.view.name

    @property
    def version(self) -> int:
        return self.view.version

    @property
    def description(self) -> str:
        return self.view.description

    @property
    def id(self) -> int:
        return stable_id(self.name, self.version)

    @property
    def features(self) -> tuple[str, ...]:
        return self.view.features

    def init_serving(self) -> None:
        """Read the newest vector, so that the first request does not wait; doing it again does no harm."""
        try:
            self._cache.get(self.symbol)
        except NotFound:
            return  # nothing stored yet: nothing to warm

    def get_feature_vector(self, entry: Mapping[str, Any]) -> Floats:
        """The stored vector of a key, in the order of ``features``; without ``timestamp`` the newest one.

        ``timestamp`` is any instant inside the candle, zoned or an RFC 3339 text. NotFound if it is not stored.
        """
        return self.get_vector(entry).values

    def get_feature_vectors(
        self, entries: Sequence[Mapping[str, Any]], missing: Missing = "error"
    ) -> list[Floats | None]:
        """One vector per key in the order asked, read together.

        A key that is not stored is an error, or with ``missing`` a None in its place, or left out; it is
        then looked for in further reads, few if few are missing. SchemaError for more than 10,000 keys.
        """
        if missing not in ("error", "null", "skip"):
            raise SchemaError(f"missing={missing!r}: expected error, null or skip")
        if len(entries) > MOST_KEYS:
            raise SchemaError(f"{len(entries):,} keys in one call; at most {MOST_KEYS:,} are read together")
        keys = entries
        if not all(map(contains, entries, repeat("symbol"))):
            keys = [{"symbol": self.symbol, **entry} for entry in entries]
        try:
            # As they are: most are open times, and those that are not are found by none.
            return list(as_matrix(self.store.get_online_features(self.view, keys)))
        except NotFound:
            step = self._interval()
            keys = [self._aligned(key, step) for key in keys]
        if missing == "error":
            return list(as_matrix(self.store.get_online_features(self.view, keys)))
        return [v for v in self._found(keys) if v is not None or missing == "null"]

    def get_vector(self, entry: Mapping[str, Any]) -> FeatureVector:
        """The stored vector with its provenance; the newest, and what came over a network, is kept until the next commit."""
        key = {"symbol": self.symbol, **entry}
        try:
            # As it is: most are open times, and one that is not is found by none.
            return self._vector(key)
        except NotFound:
            aligned = self._aligned(key, self._interval())
            if aligned == key:
                raise
        return self._vector(aligned)

    def get_feature_window(self, n: int, symbol: str | None = None) -> FeatureWindow:
        """The last ``n`` vectors of a symbol as one matrix."""
        return get_feature_window(self.store, self.view, symbol or self.symbol, n)

    def _found(self, keys: Sequence[Mapping[str, Any]]) -> list[Floats | None]:
        """One vector per key, None where none is stored: one read if all are, else one for each half."""
        try:
            return list(as_matrix(self.store.get_online_features(self.view, keys)))
        except NotFound:
            if len(keys) == 1:
                return [None]
        middle = len(keys) // 2
        return self._found(keys[:middle]) + self._found(keys[middle:])

    def _vector(self, key: Mapping[str, Any]) -> FeatureVector:
        time = key.get(TIME_KEY)
        # To keep one of many vectors takes longer than to read it from a local store; and a store says what is wrong with a key.
        if (time is not None and self._cache.caching) or not key.keys() <= {"symbol", TIME_KEY}:
            return self.store.get_online_features(self.view, [key])[0]
        known, _ = self._cache.get(key["symbol"], None if time is None else to_micros(time))
        return known.vector

    def _aligned(self, key: Mapping[str, Any], step: int | None) -> dict[str, Any]:
        return {name: opening(value, step) if name == TIME_KEY else value for name, value in key.items()}

    def _interval(self) -> int | None:
        """The length of the view's candles; looked up again when anything changed, as a group may be made anew."""
        token = None if self._probe is None else self._probe(self.view.groups)
        if token is None or self._step is None or self._step[0] != token:
            self._step = token, interval_of(self.store, self.view)
        return self._step[1]


def candle_time(store: FeatureStore, view: FeatureView, instant: Any) -> datetime:
    """The open time of the view's candle in which an instant lies, given as a zoned time or an RFC 3339 text."""
    return opening(instant, interval_of(store, view))


def interval_of(store: FeatureStore, view: FeatureView) -> int | None:
    """The length of a view's candles in microseconds; None if its times are no candles'."""
    interval = catalogue.resolve(store.definitions(), view).leading.interval
    return None if interval is None else step_micros(interval)


def opening(instant: Any, step: int | None) -> datetime:
    """The open time of the candle in which an instant lies. SchemaError unless it is a zoned time or such a text."""
    micros = to_micros(instant)
    return from_micros(micros if step is None else open_time(micros, step))


def stable_id(*parts: object) -> int:
    """A positive number of at most 31 bits that follows from its parts alone."""
    return int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:4], "big") >> 1
