"""A history cut where segments of time begin: pieces that can be computed anywhere, in any order, with the same bits."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

import attrs

from btcfs.instants import from_micros
from btcfs.pipeline.candles import CandleArrays
from btcfs.pipeline.compute import STREAM_ROWS, FeatureBlock, between, compute_rows, cuts
from btcfs.pipeline.plan import Plan


@attrs.frozen(eq=False)
class Partition:
    """One symbol's candles of one or more segments, behind the ``overlap`` candles that these are computed from.

    It has as many rows as there are candles to compute features of.
    """

    symbol: str
    candles: CandleArrays
    overlap: int

    def __len__(self) -> int:
        return len(self.candles) - self.overlap

    def __str__(self) -> str:
        times = self.candles.timestamp
        first, last = from_micros(times[self.overlap]), from_micros(times[-1])
        return f"{self.symbol}, {first:%Y-%m-%d %H:%M} to {last:%Y-%m-%d %H:%M}"


def partitions(
    plan: Plan,
    symbol: str,
    candles: CandleArrays,
    start: datetime | None = None,
    end: datetime | None = None,
    most: int = STREAM_ROWS,
) -> Iterator[Partition]:
    """The candles with ``start <= open time < end`` in pieces of at most ``most`` rows, or of one segment if that is more.

    They share the memory of ``candles``, of which earlier ones serve as warm-up. SchemaError if they are not of the
    plan's interval.
    """
    first, last = between(plan, candles, start, end)
    for begin, stop in cuts(plan, candles, first, last, most):
        segment = plan.first_needed_micros(int(candles.timestamp[begin]))
        since = int(candles.timestamp.searchsorted(segment))
        yield Partition(symbol, candles.rows(since, stop), begin - since)


def compute_partition(plan: Plan, partition: Partition) -> FeatureBlock:
    """The features of a partition's rows."""
    return compute_rows(plan, partition.candles, partition.overlap, len(partition.candles))
