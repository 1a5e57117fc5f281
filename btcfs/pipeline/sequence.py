"""Rules about rows that follow one another: rows of one open time, and the open times that are missing."""

from __future__ import annotations

import numpy as np

from btcfs.pipeline.rows import Rows
from btcfs.pipeline.rules import Ints, Mask


def repeats(rows: Rows) -> tuple[Mask, Mask]:
    """Among rows in order: those that repeat the first row of their open time, and those of a time whose rows differ."""
    again = np.zeros(len(rows), dtype=bool)
    again[1:] = rows.times[1:] == rows.times[:-1]
    if not again.any():
        return again, again
    group = np.cumsum(~again) - 1
    first = np.flatnonzero(~again)[group]
    differs = np.zeros(len(rows), dtype=bool)
    for column in rows.columns.values():
        differs |= (column != column[first]) & ~(np.isnan(column) & np.isnan(column[first]))
    disagree = np.zeros(int(group[-1]) + 1, dtype=bool)
    disagree[group[differs]] = True
    conflict = disagree[group]
    return again & ~conflict, conflict


def missing(times: Ints, step: int, before: int | None) -> tuple[Ints, Ints, Ints]:
    """The gaps between open times on the grid: the first and the last missing time, and how many are missing."""
    if before is not None:
        times = np.concatenate([np.array([before], dtype="int64"), times])
    wide = np.flatnonzero(np.diff(times) > step)
    left, right = times[wide], times[wide + 1]
    return left + step, right - step, (right - left) // step - 1
