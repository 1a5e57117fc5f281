"""Vectors of one entity that were read together: a matrix at once, and each vector by itself when somebody asks for it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from itertools import repeat
from operator import add, itemgetter
from typing import Any, overload

import attrs
import msgspec

from btcfs.definitions import TIME_KEY
from btcfs.instants import from_micros
from btcfs.store import FeatureVector
from btcfs_duckdb.payload import Floats

_decoded = msgspec.msgpack.Decoder(list[dict[str, Any]]).decode
_time = itemgetter(TIME_KEY)


@attrs.define(eq=False)
class VectorBatch(Sequence[FeatureVector]):
    """One vector per row of ``matrix``. Most of a vector's cost is in its objects, which a model has no use for.

    ``keys`` are in MessagePack: from there, times come back in UTC, and fast. When a row was known is ``step`` after its
    key's time, or else in ``known``, in microseconds.
    """

    matrix: Floats
    keys: bytes | bytearray
    step: timedelta | None
    known: Sequence[int]
    source: str
    fingerprint: str

    def __len__(self) -> int:
        return len(self.matrix)

    @overload
    def __getitem__(self, index: int) -> FeatureVector: ...

    @overload
    def __getitem__(self, index: slice) -> list[FeatureVector]: ...

    def __getitem__(self, index: int | slice) -> FeatureVector | list[FeatureVector]:
        if isinstance(index, slice):
            return list(self)[index]
        key = _decoded(self.keys)[index]
        known = from_micros(self.known[index]) if self.step is None else key[TIME_KEY] + self.step
        return FeatureVector(self.matrix[index], known, self.source, self.fingerprint, key)

    def __iter__(self) -> Iterator[FeatureVector]:
        keys = _decoded(self.keys)
        known: Iterable[datetime] = map(from_micros, self.known)
        if self.step is not None:
            known = map(add, map(_time, keys), repeat(self.step))
        # No loop in Python: each of its turns would take as long as the rest of a vector.
        return map(FeatureVector, self.matrix, known, repeat(self.source), repeat(self.fingerprint), keys)
