"""Hashes of a group's rows, one for each column and day, that are equal if and only if the rows are."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import datetime
from typing import Any, TypeAlias

import attrs
import numpy as np
import pandas as pd

from btcfs import frames
from btcfs.definitions import FeatureGroup
from btcfs.store import Commit, FeatureStore
from btcfs.transfer.lookup3 import Hashes, Integers, Seeded, texts

Span: TypeAlias = tuple[datetime | None, datetime | None]
DayHashes: TypeAlias = np.ndarray[Any, np.dtype[np.uint64]]

DAY = 86_400_000_000
_2000 = 946_684_800_000_000  # from when Postgres counts the microseconds that it hashes


@attrs.frozen(eq=False)
class Digest:
    """For each day of event time the rows, and a 64-bit hash of each column over them.

    ``days`` ascend, in days since 1970; ``hashes`` is uint64 (days, columns). A hash is the exclusive or over rows of
    the hashes of their values, each with the hash of the row's key as its seed; all NaN are equal, and what is missing
    has none. So it neither depends on the order of rows nor on how they were cut into frames, for digests of parts can
    be added; and a database that has these hash functions makes the same of what it holds. It finds faults, not forgers.
    """

    columns: tuple[str, ...]
    days: np.ndarray[Any, np.dtype[np.int64]]
    rows: np.ndarray[Any, np.dtype[np.int64]]
    hashes: DayHashes

    @property
    def count(self) -> int:
        """The number of rows."""
        return int(self.rows.sum())

    def hex(self) -> str:
        """One hash of all of it."""
        content = hashlib.blake2b(",".join(self.columns).encode(), digest_size=16)
        for array in (self.days, self.rows, self.hashes):
            content.update(np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<"), copy=False).tobytes())
        return content.hexdigest()

    def __add__(self, other: Digest) -> Digest:
        days = np.union1d(self.days, other.days)
        rows = np.zeros(len(days), dtype="int64")
        hashes = np.zeros((len(days), len(self.columns)), dtype="uint64")
        for part in (self, other):
            places = np.searchsorted(days, part.days)
            rows[places] += part.rows
            hashes[places] ^= part.hashes
        return Digest(self.columns, days, rows, hashes)

    def unlike(self, other: Digest) -> Iterator[tuple[str, int, str]]:
        """(day, rows here minus rows there, first column that differs) of each day that is not the same."""
        days = np.union1d(self.days, other.days)
        one, two = self + _nothing(self.columns, days), other + _nothing(self.columns, days)
        for place in np.flatnonzero((one.hashes != two.hashes).any(axis=1) | (one.rows != two.rows)):
            wrong = np.flatnonzero(one.hashes[place] != two.hashes[place])
            column = self.columns[wrong[0]] if len(wrong) else ""
            yield str(np.datetime64(int(days[place]), "D")), int(one.rows[place] - two.rows[place]), column


def digest(group: FeatureGroup, frame: pd.DataFrame) -> Digest:
    """The digest of rows in the group's columns and types, as a store's ``read`` gives them, in any order."""
    columns = (group.event_time, *group.feature_names)
    if not len(frame):
        return _nothing(columns, np.zeros(0, dtype="int64"))
    times = frames.micros(frame[group.event_time])
    days = times // DAY
    order = None if (days[1:] >= days[:-1]).all() else np.argsort(days, kind="stable")
    if order is not None:
        days = days[order]
    firsts = np.flatnonzero(np.r_[True, days[1:] != days[:-1]])
    hashing = Seeded(len(days), _keys(group, frame))
    hashes = np.empty((len(firsts), len(columns)), dtype="uint64")
    for place, name in enumerate(columns):
        mixed = _hashed(hashing, group.dtypes[name], frame[name])
        mixed = mixed if order is None else mixed.at(order)
        hashes[:, place] = Hashes(*(np.bitwise_xor.reduceat(half, firsts) for half in (mixed.high, mixed.low))).whole()
    counts = np.diff(np.r_[firsts, len(days)])
    return Digest(columns, days[firsts], counts, hashes)


def same_bits(group: FeatureGroup, one: pd.DataFrame, other: pd.DataFrame) -> bool:
    """Whether two frames hold the same rows in the same order, so that their digests are equal; all NaN are."""
    return len(one) == len(other) and all(_same(dtype, one[name], other[name]) for name, dtype in group.dtypes.items())


def own_digest(
    store: FeatureStore, group: FeatureGroup, commit: Commit | None, start: datetime | None, end: datetime | None
) -> Digest | None:
    """The digest of what a store holds, by its own reckoning; None if it does not reckon.

    ``day_hashes(group, commit, start, end)`` is optional: days, rows and hashes of ``changes(group, commit, start, end)``,
    or without a commit of ``read(group, start, end)``, as three sequences; or None. Where it is there, no row has to be
    fetched to know whether it is as it should be.
    """
    day_hashes = getattr(store, "day_hashes", None)
    found = None if day_hashes is None else day_hashes(group, commit, start, end)
    if found is None:
        return None
    days, rows, hashes = (np.array(part, dtype="int64") for part in found)
    columns = (group.event_time, *group.feature_names)
    order = np.argsort(days)
    return Digest(columns, days[order], rows[order], hashes.reshape(len(days), len(columns))[order].view("uint64"))


def found_digest(
    store: FeatureStore, group: FeatureGroup, commit: Commit | None, span: Span, rows: pd.DataFrame, wanted: Digest
) -> Digest:
    """The digest of what a store holds of a commit, or without one now, in a range where these rows should be.

    Its own reckoning is believed if it is ``wanted``, the digest of the rows; else what it gives is looked at.
    """
    found = own_digest(store, group, commit, *span)
    if found is not None and found.hex() == wanted.hex():
        return found
    back = store.read(group, *span) if commit is None else store.changes(group, commit, *span)
    return wanted if same_bits(group, rows, back) else digest(group, back)


def _same(dtype: str, one: pd.Series, other: pd.Series) -> bool:
    if dtype == "string":
        return bool(one.equals(other))
    if dtype == "timestamp":
        return np.array_equal(frames.micros(one), frames.micros(other))
    left, right = one.to_numpy(), other.to_numpy()
    if dtype != "float64":
        return np.array_equal(left, right)
    return bool(((left.view("int64") == right.view("int64")) | (np.isnan(left) & np.isnan(right))).all())


def _nothing(columns: tuple[str, ...], days: np.ndarray[Any, Any]) -> Digest:
    zeros = np.zeros((len(days), len(columns)), dtype="uint64")
    return Digest(columns, days, np.zeros(len(days), dtype="int64"), zeros)


def _keys(group: FeatureGroup, frame: pd.DataFrame) -> Hashes:
    """A hash of each row's key."""
    seeds = None
    for name in group.primary_key:
        seeds = _hashed(Seeded(len(frame), seeds), group.dtypes[name], frame[name])
    return seeds or Hashes(*np.zeros((2, len(frame)), dtype="uint32"))


def _hashed(hashing: Seeded, dtype: str, column: pd.Series) -> Hashes:
    """The hash of each value: as Postgres's functions for its type make it, of both halves for whole numbers."""
    if dtype == "float64":
        return hashing.floats(column.to_numpy(dtype="float64"))
    if dtype in ("int64", "bool"):
        values = column.to_numpy().astype("int64")
        return hashing.halves(values) if dtype == "int64" else hashing.integers(values)
    if dtype == "timestamp":
        found = hashing.integers(frames.micros(column) - _2000)
    else:
        found = hashing.integers(_texts(column))
    present = column.notna().to_numpy()
    return (
        found if present.all() else Hashes(*(np.where(present, half, np.uint32(0)) for half in (found.high, found.low)))
    )


def _texts(column: pd.Series) -> Integers:
    codes, distinct = pd.factorize(column)
    hashes: Integers = np.r_[texts([str(text).encode() for text in distinct]), 0][codes]  # a missing text is the last
    return hashes
