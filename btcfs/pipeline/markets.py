"""A backfill of many markets: some at a time are fetched, computed together, and committed one by one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

import attrs

from btcfs.errors import ConfigError
from btcfs.pipeline.ingest import Ingest
from btcfs.pipeline.ingest_report import IngestReport
from btcfs.pipeline.spread import computed, partition_rows
from btcfs.pipeline.work import Work

Wave = list[tuple[Ingest, Work]]

WAVE_CANDLES = 1 << 20  # held at a time, unless one market alone has more


@attrs.frozen
class MarketsReport:
    """What a backfill of many markets did: a report for each, in the order they were named."""

    reports: tuple[IngestReport, ...]

    def total(self, count: str) -> int:
        """The sum of a field of the reports."""
        return sum(getattr(report, count) for report in self.reports)

    def to_dict(self) -> dict[str, Any]:
        counts = ("fetched", "inserted", "updated", "unchanged", "rejected", "partitions", "overlap")
        return {
            "engine": self.reports[0].engine,
            **{name: self.total(name) for name in counts},
            "symbols": [report.to_dict() for report in self.reports],
        }


def backfill_markets(
    ingest: Ingest,
    symbols: Sequence[str],
    start: datetime,
    end: datetime,
    committed: Callable[[IngestReport], None] = lambda report: None,
) -> MarketsReport:
    """Do for each symbol what ``ingest.backfill`` does for its own, with the workers busy across them.

    Each symbol is a commit of its own, of which ``committed`` is told; an error leaves the symbols before it as they
    should be and the others as they were. ``{symbol}`` in the path of the quarantine stands for the symbol. As many candles are held as a million, or those of one symbol; the writer's
    place is given back as often. ConfigError for no symbol, or one named twice.
    """
    repeated = sorted({symbol for symbol in symbols if symbols.count(symbol) > 1})
    if repeated or not symbols:
        raise ConfigError(f"{', '.join(repeated)} is named twice" if repeated else "no symbol to backfill; name one")
    every = [_of(ingest, symbol) for symbol in symbols]
    reports: list[IngestReport] = []
    while len(reports) < len(every):
        with ingest.store.exclusive():
            for report in _written(ingest, _wave(every[len(reports) :], start, end)):
                reports.append(report)
                committed(report)
    return MarketsReport(tuple(reports))


def _of(ingest: Ingest, symbol: str) -> Ingest:
    quarantine = ingest.quarantine and Path(str(ingest.quarantine).replace("{symbol}", symbol))
    return attrs.evolve(ingest, symbol=symbol, quarantine=quarantine)


def _written(ingest: Ingest, wave: Wave) -> Iterator[IngestReport]:
    most = partition_rows(ingest.engine, sum(work.rows for _, work in wave))
    parts = [work.partitions(ingest.plan, most) for _, work in wave]
    every = (part for market in parts for part in market)
    with closing(computed(ingest.plan, ingest.plugins, every, ingest.engine)) as blocks:
        for (one, work), market in zip(wave, parts, strict=True):
            yield one.write(work, market, blocks)


def _wave(left: Sequence[Ingest], start: datetime, end: datetime) -> Wave:
    """The work of the first ingests, as many as hold about a million candles together; of one at least."""
    wave: Wave = []
    held = 0
    for one in left:
        work = one.prepare_backfill(start, end)
        wave.append((one, work))
        held += len(work.history)
        if held >= WAVE_CANDLES:
            break
    return wave
