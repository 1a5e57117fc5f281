"""Feature groups and views as the guide handles them: with attributes and a few calls, over one store."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

import attrs
import numpy as np

from btcfs import catalogue
from btcfs.definitions import TIME_KEY, FeatureGroup, FeatureView
from btcfs.errors import NotFound, SchemaError
from btcfs.instants import from_micros, parse_instant, to_micros
from btcfs.online.cache import VectorCache
from btcfs.online.windows import FeatureWindow, get_feature_window
from btcfs.pipeline.plan import step_micros
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
        keys = [self._key(entry) for entry in entries]
        if missing == "error":
            return [vector.values for vector in self.store.get_online_features(self.view, keys)]
        return [v for v in self._found(keys) if v is not None or missing == "null"]

    def get_vector(self, entry: Mapping[str, Any]) -> FeatureVector:
        """The stored vector with its provenance, kept until the next commit."""
        key = self._key(entry)
        time = key.get(TIME_KEY)
        known, _ = self._cache.get(key["symbol"], None if time is None else to_micros(time))
        return known.vector

    def get_feature_window(self, n: int, symbol: str | None = None) -> FeatureWindow:
        """The last ``n`` vectors of a symbol as one matrix."""
        return get_feature_window(self.store, self.view, symbol or self.symbol, n)

    def _found(self, keys: Sequence[Mapping[str, Any]]) -> list[Floats | None]:
        """One vector per key, None where none is stored: one read if all are, else one for each half."""
        try:
            return [vector.values for vector in self.store.get_online_features(self.view, keys)]
        except NotFound:
            if len(keys) == 1:
                return [None]
        middle = len(keys) // 2
        return self._found(keys[:middle]) + self._found(keys[middle:])

    def _key(self, entry: Mapping[str, Any]) -> dict[str, Any]:
        key = {"symbol": self.symbol, **entry}
        if TIME_KEY in key:
            key[TIME_KEY] = candle_time(self.store, self.view, key[TIME_KEY])
        return key


def candle_time(store: FeatureStore, view: FeatureView, instant: Any) -> datetime:
    """The open time of the view's candle in which an instant lies, given as a zoned time or an RFC 3339 text."""
    time = parse_instant(instant) if isinstance(instant, str) else instant
    micros = to_micros(time)
    interval = catalogue.resolve(store.definitions(), view).leading.interval
    return from_micros(micros if interval is None else micros - micros % step_micros(interval))


def stable_id(*parts: object) -> int:
    """A positive number of at most 31 bits that follows from its parts alone."""
    return int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:4], "big") >> 1
