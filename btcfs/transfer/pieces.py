"""Cutting a group's time into pieces of few enough rows to hold in memory."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import attrs
import numpy as np

from btcfs import frames
from btcfs.definitions import FeatureGroup
from btcfs.instants import from_micros, to_micros
from btcfs.store import FeatureStore

ROWS = 122_880  # of a piece: what DuckDB stores together, and some 50 MB of fifty columns
NARROW = 4_000_000  # event times read at once to find where to cut
_BINS = 512  # of time, in which a store that can counts its rows


@attrs.frozen
class Piece:
    """A half-open range of event time, in microseconds, None where it is open; ``rows`` at most are in it."""

    start: int | None = None
    end: int | None = None
    rows: int = 0

    @property
    def range(self) -> tuple[datetime | None, datetime | None]:
        return (
            None if self.start is None else from_micros(self.start),
            None if self.end is None else from_micros(self.end),
        )

    def to_list(self) -> list[int | None]:
        return [self.start, self.end, self.rows]


def pieces(store: FeatureStore, group: FeatureGroup, size: int = ROWS, *, as_of: datetime | None = None) -> list[Piece]:
    """Pieces that cover all time, each with at most ``size`` of the rows stored now.

    More only where so many have one event time. One open piece if all rows fit into it.
    """
    summary = store.summary(group)
    if summary.rows <= size or summary.start is None or summary.end is None:
        return [Piece(rows=summary.rows)]
    first, last = to_micros(summary.start), to_micros(summary.end) + 1
    counted = None if as_of is not None else _counted(store, group, size, first, last)
    if counted is not None:
        return counted
    spans = -(-summary.rows // NARROW)
    edges = [first + (last - first) * n // spans for n in range(spans)]
    found: list[Piece] = []
    start, held = None, np.zeros(0, dtype="int64")
    for low, high in zip(edges, [*edges[1:], last], strict=True):
        held = np.concatenate([held, np.sort(_times(store, group, low, high, as_of))])
        while len(held) > size:
            count = _cut(held, size)
            if count == len(held):
                break  # one instant so far: the next span may hold more of it
            found.append(Piece(start, int(held[count]), count))
            start, held = int(held[count]), held[count:]
    return [*found, Piece(start, None, len(held))]


def _counted(store: FeatureStore, group: FeatureGroup, size: int, first: int, last: int) -> list[Piece] | None:
    """Pieces by the store's own counts; None if it counts nothing, or has too many rows in one bin of time.

    ``event_counts(group, edges)`` is optional: how many newest rows have an event time, in microseconds, from each edge
    to before the next. Where it is there, event times are fetched only around the cuts.
    """
    event_counts = getattr(store, "event_counts", None)
    if event_counts is None:
        return None
    edges = _bins(first, last, _BINS)
    counts = event_counts(group, edges)
    if counts is None or max(counts) > NARROW:
        return None
    # Whole pieces are worth a second look: DuckDB stores as many rows as they have together, and writes others twice.
    counts = list(counts)
    crossed = np.unique(np.searchsorted(np.cumsum(counts), np.arange(size, sum(counts), size)))
    for bin in reversed(crossed.tolist()):
        times, rows = np.unique(_times(store, group, edges[bin], edges[bin + 1]), return_counts=True)
        counts[bin : bin + 1] = rows.tolist() or [0]
        edges[bin + 1 : bin + 1] = times[1:].tolist()
    if max(counts) > size:
        return None
    found: list[Piece] = []
    start, held = None, 0
    for edge, count in zip(edges, counts, strict=False):
        if held + count > size:
            found.append(Piece(start, edge, held))
            start, held = edge, 0
        held += count
    return [*found, Piece(start, None, held)]


def _times(
    store: FeatureStore, group: FeatureGroup, start: int, end: int, as_of: datetime | None = None
) -> np.ndarray[Any, np.dtype[np.int64]]:
    """The event times in a half-open range, in no order."""
    rows = store.read(group, from_micros(start), from_micros(end), columns=(group.event_time,), as_of=as_of)
    return frames.micros(rows[group.event_time])


def _bins(first: int, last: int, count: int) -> list[int]:
    """The edges of at most so many bins of equal length."""
    return sorted({first + (last - first) * n // count for n in range(count + 1)})


def _cut(times: np.ndarray[Any, np.dtype[np.int64]], size: int) -> int:
    """How many of these ascending times make a piece: at most so many, and all that are equal together."""
    before = int(np.searchsorted(times, times[size], side="left"))
    return before or int(np.searchsorted(times, times[0], side="right"))
