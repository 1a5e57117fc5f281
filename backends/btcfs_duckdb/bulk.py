"""The segments of one entity, and many of their rows at once."""

from __future__ import annotations

from bisect import bisect_right
from functools import cached_property
from typing import Any

import attrs
import numpy as np

from btcfs_duckdb.payload import FLOAT, Flags, Floats, Integers
from btcfs_duckdb.segments import Segment, all_of


@attrs.frozen(eq=False, slots=False)  # without slots for what is worked out when many rows are asked for
class Bulk:
    """Segments that do not overlap, by their first times; ``step`` is the time from a candle to the next."""

    step: int
    firsts: list[int] = attrs.field(factory=list)
    segments: list[Segment] = attrs.field(factory=list)

    def holding(self, time: int) -> Segment | None:
        """The segment where a row of this time would be, or the last before it."""
        place = bisect_right(self.firsts, time) - 1
        return self.segments[place] if place >= 0 else None

    @property
    def last(self) -> int:
        """The last time of all."""
        return self.segments[-1].last

    def gather(self, times: Integers) -> Floats | None:
        """The rows of these times as numbers, None if one is missing or damaged."""
        place = self._firsts.searchsorted(times, "right") - 1
        first = int(place[0])
        if first == place[-1] and all_of(place == first):
            return self.segments[first].gather(times, self.step) if first >= 0 else None
        index = self._indices(times, place) if self._regular else self._found(times, place)
        if index is None or not self._all_whole(times, place, index):
            return None
        begin = index * self.segments[0].row_bytes
        end = begin + self.segments[0].body_bytes
        files = map([segment.bytes for segment in self.segments].__getitem__, place.tolist())
        # A loop, for the rows are in many files; each is a copy of some hundred bytes.
        rows = bytearray().join([file[a:b] for file, a, b in zip(files, begin.tolist(), end.tolist())])  # noqa: B905
        return np.frombuffer(rows, FLOAT).reshape(len(times), -1)

    def _indices(self, times: Integers, place: Integers) -> Integers | None:
        """In its segment the index of each time's row, told from the time; None if one is missing."""
        index, rest = np.divmod(times - self._firsts[place], self.step)
        # As unsigned numbers those below zero are beyond every segment.
        if np.count_nonzero(rest) or not all_of(index.view("u8") < self._counts[place]):
            return None
        found: Integers = index
        return found

    def _found(self, times: Integers, place: Integers) -> Integers | None:
        """The same where candles are missing inside segments."""
        pairs = zip(place.tolist(), times.tolist(), strict=True)
        index = np.array([self.segments[which].index(time) for which, time in pairs])
        return index if place.min() >= 0 and index.min() >= 0 else None

    def _all_whole(self, times: Integers, place: Integers, index: Integers) -> bool:
        number = self._starts[place] + index
        checked = self._whole[number]
        if not all_of(checked):
            for which, time in zip(place[~checked].tolist(), times[~checked].tolist(), strict=True):
                if self.segments[which].at(time, self.step) is None:
                    return False
            self._whole[number] = True
        return True

    @cached_property
    def _firsts(self) -> Integers:
        return np.array(self.firsts, dtype="int64")

    @cached_property
    def _counts(self) -> np.ndarray[Any, np.dtype[np.uint64]]:
        return np.array([len(segment) for segment in self.segments], dtype="u8")

    @cached_property
    def _starts(self) -> Integers:
        """How many rows are in the segments before each."""
        counts = self._counts.astype("int64")
        starts: Integers = counts.cumsum() - counts
        return starts

    @cached_property
    def _regular(self) -> bool:
        """Whether no candle is missing inside any segment, so that a time says the place of its row."""
        return all(segment.regular(self.step) for segment in self.segments)

    @cached_property
    def _whole(self) -> Flags:
        """Of each row, by its number among all, whether it was found to be as it was written."""
        return np.zeros(int(self._counts.sum()), dtype=bool)
