"""What an ingest is about to compute and write: everything fetched, validated and found to be due, nothing written yet."""

from __future__ import annotations

import attrs

from btcfs.pipeline.candles import CandleArrays
from btcfs.pipeline.compute import STREAM_ROWS
from btcfs.pipeline.history import Rows
from btcfs.pipeline.ingest_report import IngestReport
from btcfs.pipeline.partitions import Partition, partitions
from btcfs.pipeline.plan import Plan


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
