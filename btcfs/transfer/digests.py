"""Hashes of a group's rows, one for each column and day, that are equal if and only if the rows are."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import attrs
import numpy as np
import pandas as pd

from btcfs import frames
from btcfs.definitions import FeatureGroup

Hashes = np.ndarray[Any, np.dtype[np.uint64]]

DAY = 86_400_000_000
BLOCK = 16_384  # rows mixed at once, so that a block stays in the processor's cache
_NAN = np.float64("nan").view("uint64")
_ABSENT = b"\x00absent"


@attrs.frozen(eq=False)
class Digest:
    """For each day of event time the rows, and a 64-bit hash of each column over them.

    ``days`` ascend, in days since 1970; ``hashes`` is uint64 (days, columns). A hash is a sum over
    rows of a mixture of the row's key and the column's bits, all NaN being equal: it neither depends
    on the order of rows nor on how they were cut into frames, for digests of parts can be added.
    The mixture is the finaliser of SplitMix64: Steele, Lea and Flood (2014), Fast splittable
    pseudorandom number generators. It finds faults, not forgers.
    """

    columns: tuple[str, ...]
    days: np.ndarray[Any, np.dtype[np.int64]]
    rows: np.ndarray[Any, np.dtype[np.int64]]
    hashes: Hashes

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
            hashes[places] += part.hashes
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
    keys = _keys(group, frame)
    if order is not None:
        keys = keys[order]
    hashes = np.empty((len(firsts), len(columns)), dtype="uint64")
    for place, name in enumerate(columns):
        bits = _bits(group.dtypes[name], frame[name])
        _mix(bits if order is None else bits[order], keys, place, firsts, hashes[:, place])
    counts = np.diff(np.r_[firsts, len(days)])
    return Digest(columns, days[firsts], counts, hashes)


def _nothing(columns: tuple[str, ...], days: np.ndarray[Any, Any]) -> Digest:
    zeros = np.zeros((len(days), len(columns)), dtype="uint64")
    return Digest(columns, days, np.zeros(len(days), dtype="int64"), zeros)


def _mix(bits: Hashes, keys: Hashes, place: int, firsts: np.ndarray[Any, Any], out: Any) -> None:
    """Sum the mixtures of each day into ``out``; overflow wraps, as it should."""
    mixed = np.empty(len(bits), dtype="uint64")
    salt = np.uint64((place + 1) * 0x9E3779B97F4A7C15 % 2**64)
    for start in range(0, len(bits), BLOCK):
        part = mixed[start : start + BLOCK]
        np.bitwise_xor(bits[start : start + BLOCK], keys[start : start + BLOCK], out=part)
        part += salt
        _finalise(part)
    np.add.reduceat(mixed, firsts, out=out)


def _finalise(part: Hashes) -> None:
    shifted = np.right_shift(part, np.uint64(30))
    part ^= shifted
    part *= np.uint64(0xBF58476D1CE4E5B9)
    np.right_shift(part, np.uint64(27), out=shifted)
    part ^= shifted
    part *= np.uint64(0x94D049BB133111EB)
    np.right_shift(part, np.uint64(31), out=shifted)
    part ^= shifted


def _keys(group: FeatureGroup, frame: pd.DataFrame) -> Hashes:
    """A hash of each row's key."""
    keys = np.zeros(len(frame), dtype="uint64")
    for name in group.primary_key:
        keys *= np.uint64(0xD6E8FEB86659FD93)
        keys ^= _bits(group.dtypes[name], frame[name])
        _finalise(keys)
    return keys


def _bits(dtype: str, column: pd.Series) -> Hashes:
    """64 bits for each value: equal for equal values, all NaN being equal, and all but texts different for others."""
    if dtype == "string":
        return _texts(column)
    if dtype == "timestamp":
        return np.asarray(frames.micros(column)).view("uint64")
    values = column.to_numpy()
    if dtype == "float64":
        bits = np.ascontiguousarray(values, dtype="float64").view("uint64")
        missing = np.isnan(values)
        if missing.any():
            bits = np.where(missing, _NAN, bits)
        return bits
    return np.asarray(values.astype("int64")).view("uint64")


def _texts(column: pd.Series) -> Hashes:
    codes, distinct = pd.factorize(column)
    known = [hashlib.blake2b(str(text).encode(), digest_size=8).digest() for text in distinct]
    absent = hashlib.blake2b(_ABSENT, digest_size=8).digest()  # the code of a missing text is -1: the last
    table = np.frombuffer(b"".join([*known, absent]), dtype="<u8").astype("uint64")
    hashes: Hashes = table[codes]
    return hashes
