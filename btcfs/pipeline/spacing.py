"""How far apart candles lie, seen frame by frame: is this the interval that was asked for, and only that one?"""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from btcfs.instants import from_micros

Ints = np.ndarray[Any, np.dtype[np.int64]]

_UNITS = (("w", 604_800_000_000), ("d", 86_400_000_000), ("h", 3_600_000_000), ("m", 60_000_000), ("s", 1_000_000))
_WEEK, _MONDAY = 604_800_000_000, 345_600_000_000
_DISTANCES_KEPT = 1_000


def interval_name(micros: int) -> str:
    """The usual name of a length of time in microseconds, such as ``1h``."""
    for unit, size in _UNITS:
        if micros % size == 0 and (unit != "w" or micros == size):
            return f"{micros // size}{unit}"
    return f"{micros} microseconds"


def off_grid(times: Ints, step: int) -> Any:
    """Which open times do not lie on the interval's grid: counted from the epoch, weeks from any midnight UTC."""
    if step % _WEEK == 0:
        return times % _UNITS[1][1] != 0
    return times % step != 0


def open_time(instant: int, step: int) -> int:
    """The open time of the candle in which an instant lies: counted from the epoch, weeks from Monday; all in microseconds."""
    return instant - (instant - (_MONDAY if step % _WEEK == 0 else 0)) % step


class Spacing:
    """The distances between neighbouring candles so far; the memory it needs does not grow with their number."""

    def __init__(self, step: int) -> None:
        self.step = step
        self._last: int | None = None
        self._distances: Counter[int] = Counter()
        self._run = (0, 0, 0)  # distance, how often in a row, where the run began
        self._other: tuple[int, int, int] | None = None

    def see(self, times: Ints) -> None:
        """Take in the next open times, ascending, in microseconds; equal ones count once."""
        if self._last is not None:
            times = np.concatenate([np.array([self._last]), times])
        if len(times) == 0:
            return
        self._last = int(times[-1])
        distances = np.diff(times)
        starts, distances = times[:-1][distances > 0], distances[distances > 0]
        if len(distances) == 0:
            return
        values, counts = np.unique(distances, return_counts=True)
        self._distances.update(dict(zip(values.tolist(), counts.tolist(), strict=True)))
        if len(self._distances) > _DISTANCES_KEPT:
            self._distances = Counter(dict(self._distances.most_common(_DISTANCES_KEPT // 2)))
        if self._other is None:
            self._see_runs(starts, distances)

    def problem(self) -> str | None:
        """A sentence that names the interval found and the one expected, or None if they are the same."""
        if not self._distances:
            return None
        usual, count = self._distances.most_common(1)[0]
        if usual != self.step and count >= 2 and count > self._distances[self.step]:
            return f"the candles are {interval_name(usual)} apart, expected {interval_name(self.step)}"
        if self._other is None:
            return None
        distance, count, start = self._other
        return (
            f"the candles are of mixed intervals: {interval_name(self.step)}, as expected, but from "
            f"{from_micros(start).isoformat()} on {count} times {interval_name(distance)} apart"
        )

    def _see_runs(self, starts: Ints, distances: Ints) -> None:
        edges = np.flatnonzero(np.diff(distances)) + 1
        begins = np.concatenate([np.zeros(1, dtype="int64"), edges])
        lengths = np.diff(np.concatenate([begins, np.array([len(distances)])]))
        runs = list(zip(distances[begins].tolist(), lengths.tolist(), starts[begins].tolist(), strict=True))
        before = self._run
        if before[0] == runs[0][0]:
            runs[0] = (before[0], before[1] + runs[0][1], before[2])
        self._run = runs[-1]
        self._other = next((run for run in runs if self._is_other_interval(*run)), None)

    def _is_other_interval(self, distance: int, count: int, start: int) -> bool:
        """Whether a run of equal distances is another interval, and not a thin market that happens to skip evenly."""
        if distance == self.step:
            return False
        if distance < self.step:
            return count >= 5 and self.step % distance == 0  # a stray row or two halfway make up to four
        if distance % self.step or (start - _MONDAY * (distance % _WEEK == 0)) % distance:
            return False
        return count >= (6 if distance >= 5 * self.step else 24)
