"""Vectors kept until the store they came from changes."""

from __future__ import annotations

from collections.abc import Hashable
from functools import lru_cache
from threading import Lock
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from btcfs.definitions import TIME_KEY, FeatureView
from btcfs.instants import from_micros, to_micros
from btcfs.online.changes import change_probe
from btcfs.store import FeatureStore, FeatureVector

if TYPE_CHECKING:
    Key = tuple[str, int | None]  # symbol and open time in microseconds; None means the newest

CAPACITY = 10_000

opening = lru_cache(maxsize=CAPACITY)(from_micros)  # of candles, which are asked for again and again


class KnownVector(msgspec.Struct, frozen=True, eq=False):
    """A stored vector and what a request asks of it: times in microseconds, and whether a value is missing.

    ``outputs`` is for the one model that a cache is for: what it made of the vector, which would be the same again.
    """

    vector: FeatureVector
    timestamp: int
    event_time: int
    missing: tuple[str, ...]
    outputs: list[float] = msgspec.field(default_factory=list)


class VectorCache:
    """The stored vectors of one view, each read once per state of its groups.

    An entry is valid for the state (``change_token``) in which it was read, so a commit of any
    process ends it. However many threads ask for one key at once, one of them reads it. A store
    that cannot tell its state is read each time. ``capacity`` bounds the number of entries; the
    oldest go first.
    """

    def __init__(self, store: FeatureStore, view: FeatureView, capacity: int = CAPACITY) -> None:
        self.view = view
        self.hits = 0
        self.misses = 0
        self._store = store
        self._groups = tuple(view.groups)
        self._probe = change_probe(store)
        self._remote = bool(getattr(store, "remote", False))
        self._capacity = capacity
        self._entries: dict[Key, tuple[Hashable, KnownVector]] = {}  # with the state each was read in
        self._reading: dict[Key, Lock] = {}
        self._lock = Lock()

    @property
    def caching(self) -> bool:
        """Whether a vector is had without waiting: the store can tell its state, and is not reached over a network."""
        return self._probe is not None and not self._remote

    def get(self, symbol: str, time: int | None = None) -> tuple[KnownVector, bool]:
        """The vector of that candle (its newest without ``time``), and whether it was in the cache.

        ``time`` is the candle's open time in microseconds. Errors are those of ``get_online_features``.
        """
        if self._probe is None:
            return self._read(symbol, time), False
        key = (symbol, time)
        token = self._probe(self._groups)
        entry = self._entries.get(key)
        if entry is not None and entry[0] == token:
            self.hits += 1
            return entry[1], True
        return self._shared_read(key, token)

    def _shared_read(self, key: Key, token: Hashable) -> tuple[KnownVector, bool]:
        mine = Lock()
        mine.acquire()
        turn = self._reading.setdefault(key, mine)
        if turn is not mine:
            with turn:  # another thread reads this key; what it found is asked for again, or read if it found nothing
                pass
            return self.get(*key)
        try:
            entry = self._entries.get(key)
            if entry is not None and entry[0] == token:  # another thread has come and gone since it was looked for
                self.hits += 1
                return entry[1], True
            known = self._read(*key)
            # The token is older than the read: should a commit fall in between, the entry is only thought too old.
            self._keep(key, token, known)
        finally:
            del self._reading[key]
            mine.release()
        return known, False

    def _keep(self, key: Key, token: Hashable, known: KnownVector) -> None:
        if known.vector.fallback_reason is not None:
            return  # the reason holds for this answer only
        entries = self._entries
        with self._lock:
            entries.pop(key, None)
            entries[key] = token, known
            if len(entries) > self._capacity:
                del entries[next(iter(entries))]

    def _read(self, symbol: str, time: int | None) -> KnownVector:
        self.misses += 1
        key: dict[str, Any] = {"symbol": symbol}
        if time is not None:
            key[TIME_KEY] = opening(time)
        [vector] = self._store.get_online_features(self.view, [key])
        return known_vector(vector, self.view, time)


def known_vector(vector: FeatureVector, view: FeatureView, time: int | None = None) -> KnownVector:
    """The vector with its times in microseconds (``time`` is its candle's, if known) and the names of its missing values."""
    names: tuple[str, ...] = ()
    values = vector.values
    if b"\1" in np.isnan(values).tobytes():  # half the time of isnan().any()
        names = tuple(name for name, value in zip(view.features, values, strict=True) if value != value)
    values.flags.writeable = False
    timestamp = to_micros(vector.key[TIME_KEY]) if time is None else time
    return KnownVector(vector, timestamp, to_micros(vector.event_time), names)
