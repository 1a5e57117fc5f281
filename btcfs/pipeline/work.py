"""What an ingest is about to compute and write: everything fetched, validated and found to be due, nothing written yet."""

from __future__ import annotations

import attrs
import numpy as np

from btcfs.instants import from_micros
from btcfs.pipeline.candles import CandleArrays
from btcfs.pipeline.compute import STREAM_ROWS
from btcfs.pipeline.history import Rows
from btcfs.pipeline.ingest_report import IngestReport
from btcfs.pipeline.partitions import Partition, partitions
from btcfs.pipeline.plan import Plan

LEAST_BATCH, MOST_BATCH = 100, 65_536  # rows sent at a time; in between, a twentieth of all


@attrs.frozen(eq=False)
class Work:
    """One market's due rows: ``ranges`` of open times of a ``history``, and the ``fetched`` candles beneath it.

    Without ranges there is nothing to do but to report.
    """

    report: IngestReport
    fetched: CandleArrays
    history: CandleArrays
    ranges: tuple[Rows, ...] = ()

    @property
    def rows(self) -> int:
        return sum(len(self.history.between(start, end)) for start, end in self.ranges)

    def partitions(self, plan: Plan, most: int = STREAM_ROWS) -> list[Partition]:
        """The due rows in pieces of at most so many rows where a segment is not longer; they share the history's memory."""
        symbol = self.report.symbol
        return [p for start, end in self.ranges for p in partitions(plan, symbol, self.history, start, end, most)]

    def planned(self, plan: Plan, batch_size: int | None) -> Work:
        """The same with a report that says what will be written, in batches of that size or one that suits the rows."""
        computed = [self.history.between(start, end) for start, end in self.ranges]
        times = [candles.timestamp for candles in computed if len(candles)]
        rows = sum(map(len, computed))
        warmup = max(0, plan.lookback - int(np.searchsorted(self.history.timestamp, times[0][0]))) if times else 0
        warmup = min(warmup, rows)
        warnings = (
            f"{warmup} rows lie within {plan.lookback} candles of the first one known and have features without a value",
        )
        size = batch_size or min(max(LEAST_BATCH, rows // 20), MOST_BATCH)
        report = attrs.evolve(
            self.report,
            start=from_micros(times[0][0]) if times else None,
            end=from_micros(times[-1][-1]) if times else None,
            warmup_rows=warmup,
            batch_size=size,
            batches=-(-rows // size),
            warnings=(*self.report.warnings, *warnings[: bool(warmup)]),
        )
        return attrs.evolve(self, report=report)
