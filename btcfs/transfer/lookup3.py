"""64-bit hashes of many values at once, as Postgres computes them: Bob Jenkins's lookup3 (2006), which takes a seed.

They are those of ``hashfloat8extended`` and its kin, by which Postgres cuts tables into partitions, so that they stay
the same from one release to the next.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import attrs
import numpy as np

Words: TypeAlias = np.ndarray[Any, np.dtype[np.uint32]]
Integers: TypeAlias = np.ndarray[Any, np.dtype[np.int64]]

BLOCK = 32_768  # values mixed at once, so that a block stays in the processor's cache
_BEGIN = 0x9E3779B9 + 3_923_095  # the length in bytes is added


@attrs.frozen(eq=False)
class Hashes:
    """64-bit hashes as two halves each, uint32 arrays of one length."""

    high: Words
    low: Words

    def whole(self) -> np.ndarray[Any, np.dtype[np.uint64]]:
        """The hashes as uint64."""
        return np.asarray(self.high.astype("uint64") << np.uint64(32) | self.low)

    def at(self, places: Any) -> Hashes:
        return Hashes(self.high[places], self.low[places])


class Seeded:
    """Hashing with a seed for each value; no seeds are seeds of zero, which leave the hash as it is."""

    def __init__(self, count: int, seeds: Hashes | None = None) -> None:
        self._seeds = seeds or Hashes(*np.zeros((2, count), dtype="uint32"))
        self._begun: dict[int, list[Words]] = {}

    def floats(self, values: np.ndarray[Any, np.dtype[np.float64]]) -> Hashes:
        """Of float64 numbers; zero has the seed for its hash, and NaN one hash whatever its bits."""
        bits = values.view("uint64")
        missing = np.isnan(values)
        if missing.any():
            bits = np.where(missing, np.float64("nan").view("uint64"), bits)
        found = self._hashed(*_words(bits))
        zero = bits == 0
        if zero.any():
            found.high[zero], found.low[zero] = self._seeds.high[zero], self._seeds.low[zero]
        return found

    def integers(self, values: Integers) -> Hashes:
        """Of int64 numbers folded to their half, as Postgres hashes bigint and the microseconds of timestamps."""
        low, high = _words(values)
        return self._hashed(low ^ np.where(values < 0, ~high, high))

    def halves(self, values: Integers) -> Hashes:
        """Of int64 numbers, both halves counting: the high one is hashed with the hash of the low one as its seed."""
        low, high = _words(values)
        return Seeded(len(values), self._hashed(low))._hashed(high)

    def _hashed(self, low: Words, high: Words | None = None) -> Hashes:
        count = len(low)
        begun = self._begin(4 if high is None else 8)
        found = np.empty((2, count), dtype="uint32")
        for start in range(0, count, BLOCK):
            part = slice(start, start + BLOCK)
            a, b, c = (half[part].copy() for half in begun)
            a += low[part]
            if high is not None:
                b += high[part]
            _final(a, b, c)
            found[0, part], found[1, part] = b, c
        return Hashes(*found)

    def _begin(self, length: int) -> list[Words]:
        """The state that the seeds make for values of so many bytes."""
        if length not in self._begun:
            state = [np.full(len(self._seeds.low), _BEGIN + length, dtype="uint32") for _ in range(3)]
            seeded = (self._seeds.high | self._seeds.low) != 0
            if seeded.any():
                mixed = [state[0] + self._seeds.high, state[1] + self._seeds.low, state[2].copy()]
                _mix(*mixed)
                state = mixed if seeded.all() else [np.where(seeded, *pair) for pair in zip(mixed, state, strict=True)]
            self._begun[length] = state
        return self._begun[length]


def texts(values: Sequence[bytes]) -> Integers:
    """The hashes of these bytes, without a seed, as int64."""
    found = np.empty(len(values), dtype="uint64")
    lengths = np.array([len(value) for value in values], dtype="int64")
    for length in np.unique(lengths).tolist():
        places = np.flatnonzero(lengths == length)
        padded = length // 12 * 12 + 12
        content = b"".join(values[place].ljust(padded, b"\0") for place in places.tolist())
        words = np.frombuffer(content, "<u4").reshape(len(places), -1)
        a, b, c = (np.full(len(places), (_BEGIN + length) % 2**32, dtype="uint32") for _ in range(3))
        for first in range(0, words.shape[1] - 3, 3):
            a += words[:, first]
            b += words[:, first + 1]
            c += words[:, first + 2]
            _mix(a, b, c)
        a += words[:, -3]
        b += words[:, -2]
        c += words[:, -1] << np.uint32(8)  # the lowest byte is that of the length
        _final(a, b, c)
        found[places] = Hashes(b, c).whole()
    return found.view("int64")


def _words(values: np.ndarray[Any, Any]) -> tuple[Words, Words]:
    """The low and the high half of the bits of each value of eight bytes."""
    words = np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("<")).view("<u4")
    return words[0::2], words[1::2]


def _mix(a: Words, b: Words, c: Words) -> None:
    for bits in (4, 6, 8, 16, 19, 4):
        a -= c
        a ^= _turned(c, bits)
        c += b
        a, b, c = b, c, a


def _final(a: Words, b: Words, c: Words) -> None:
    for bits in (14, 11, 25, 16, 4, 14, 24):
        c ^= b
        c -= _turned(b, bits)
        a, b, c = b, c, a


def _turned(words: Words, bits: int) -> Words:
    """The words with their bits turned to the left."""
    turned = words << np.uint32(bits)
    turned |= words >> np.uint32(32 - bits)
    return np.asarray(turned)
