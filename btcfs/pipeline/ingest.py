"""Ingestion: fetch candles, validate them, compute the features they touch, and commit what changed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from datetime import datetime, timedelta
from functools import cached_property
from itertools import chain, islice
from pathlib import Path

import attrs
import pandas as pd

from btcfs import catalogue
from btcfs.definitions import FeatureGroup
from btcfs.engines import LOCAL, Engine
from btcfs.errors import ConfigError, InsufficientHistory, NotFound
from btcfs.instants import from_micros, now, to_micros
from btcfs.pipeline.acceptance import Accepted, accept
from btcfs.pipeline.candles import CandleArrays
from btcfs.pipeline.commit import commit
from btcfs.pipeline.compute import FeatureBlock
from btcfs.pipeline.history import (
    CandleHistory,
    Overlay,
    Rows,
    candle_frame,
    first_gap,
    is_applied,
    joined,
    newest,
)
from btcfs.pipeline.ingest_report import IngestReport, Notice
from btcfs.pipeline.partitions import Partition
from btcfs.pipeline.plan import Plan, plan
from btcfs.pipeline.preview import preview
from btcfs.pipeline.spread import computed, partition_rows
from btcfs.pipeline.standard import candle_group, named
from btcfs.pipeline.tombstones import refuse_reuse
from btcfs.pipeline.work import Work
from btcfs.plugins import Plugins, installed_plugins
from btcfs.sources import CandleRequest, Source
from btcfs.store import FeatureStore

CANDLE_ROWS = 262_144  # candles sent at a time
OVERLAP = 48  # candles that a daily run fetches again, to notice what the exchange restated

Listener = Callable[[Notice], None]


def _silent(notice: Notice) -> None:
    """Nobody listens."""


@attrs.frozen
class Ingest:
    """One market's way into a store: ``historical`` once, ``daily`` from then on, ``backfill`` for a range.

    ``group`` and ``candles`` default to the standard names of the interval; ``features`` to all that
    are installed. ``batch_size`` is the rows sent at a time, all inside one commit. With
    ``quarantine``, rejected candles go to that file and the rest goes on; without, one bad candle
    stops the run. ``now`` is the instant that decides which candles are closed. ``engine`` computes the
    features, without one this process does. ``notify`` is told of each step.

    A run writes the features first and the candles they came from last. So whatever stops it in
    between, the next run sees the candles as new and does the rest again.
    """

    store: FeatureStore
    source: Source | None = None
    symbol: str = "BTC-USD"
    interval: str = "1d"
    group: str | None = None
    version: int = 1
    candles: str | None = None
    features: Sequence[str] | None = None
    batch_size: int | None = None
    repair_volume: bool = False
    quarantine: Path | None = None
    dry_run: bool = False
    now: datetime | None = None
    plugins: Plugins = attrs.field(factory=installed_plugins)
    engine: Engine | None = None
    notify: Listener = _silent

    def __attrs_post_init__(self) -> None:
        if self.batch_size is not None and self.batch_size < 1:
            raise ConfigError(f"batch size {self.batch_size} is not a whole number of at least 1")

    @cached_property
    def plan(self) -> Plan:
        return plan(self.plugins.indicators(), self.interval, self.features or None)

    @property
    def group_name(self) -> str:
        return self.group or named("bitcoin_features", self.interval)

    @cached_property
    def feature_group(self) -> FeatureGroup:
        count = len(self.plan.features)
        return self.plan.group(self.group_name, self.version, f"{count} features of {self.interval} Bitcoin candles")

    @cached_property
    def candle_group(self) -> FeatureGroup:
        return candle_group(self.interval, self.candles)

    @cached_property
    def history(self) -> CandleHistory:
        return CandleHistory(self.store, self.candle_group, self.symbol)

    @property
    def step(self) -> timedelta:
        """The length of one candle."""
        return timedelta(microseconds=self.plan.step)

    def historical(self, days: int) -> IngestReport:
        """Ingest the last ``days`` days that the source has closed candles of, fetching the lookback before them too."""
        rows = timedelta(days=days) // self.step
        if rows < 1:
            raise ConfigError(f"{days} days hold no candle of {self.interval}; ask for more days")
        request = self._request(last=rows + self.plan.segment + self.plan.warmup)
        return self._run("historical", request, lambda fetched: (_end(fetched) - rows * self.step, _end(fetched)))

    def daily(self) -> IngestReport:
        """Continue from the newest stored candle: fetch what followed it, fill gaps, recompute what changed.

        NotFound if no candle of the symbol is stored yet.
        """
        with self.store.exclusive():
            return self._continue()

    def backfill(self, start: datetime, end: datetime) -> IngestReport:
        """Ingest the candles with ``start <= open time < end``, fetching the lookback before them too."""
        return self._run("backfill", self._backfill_request(start, end), lambda fetched: (start, end))

    def prepare_backfill(self, start: datetime, end: datetime) -> Work:
        """Fetch and validate what ``backfill`` would write, for ``write``; both inside one ``store.exclusive()``."""
        return self._prepared("backfill", self._backfill_request(start, end), lambda fetched: (start, end))

    def _backfill_request(self, start: datetime, end: datetime) -> CandleRequest:
        if start >= end:
            raise ConfigError(f"backfill ends {end}, before it starts {start}")
        return self._request(start=self.plan.first_needed(start), end=end)

    def _request(
        self, start: datetime | None = None, end: datetime | None = None, last: int | None = None
    ) -> CandleRequest:
        return CandleRequest(self.symbol, self.interval, start=start, end=end, last=last, now=self.now or now())

    def _continue(self) -> IngestReport:
        self._check_definitions()
        held = self.history.newest()
        done = newest(self.store, self.feature_group, self.symbol)
        if held is None or done is None:
            raise NotFound(
                f"{self.feature_group.title} holds nothing of {self.symbol} to continue from; "
                f"run btcfs ingest historical --days 365 first"
            )
        gap = first_gap(self.history.between(self.plan.first_needed(held)))
        start = held - OVERLAP * self.step
        request = self._request(start=start if gap is None else min(start, gap))
        return self._run("daily", request, lambda fetched: (done + self.step, _end(fetched)))

    def _run(self, mode: str, request: CandleRequest, wanted: Callable[[CandleArrays], Rows]) -> IngestReport:
        with self.store.exclusive():
            work = self._prepared(mode, request, wanted)
            parts = work.partitions(self.plan, partition_rows(self.engine, work.rows))
            with closing(computed(self.plan, self.plugins, parts, self.engine)) as blocks:
                return self.write(work, parts, blocks)

    def _prepared(self, mode: str, request: CandleRequest, wanted: Callable[[CandleArrays], Rows]) -> Work:
        self._check_definitions()
        accepted = self._fetch(request)
        report = self._begun(mode, accepted)
        if not len(accepted.candles):
            return Work(report, accepted.candles, accepted.candles)
        target = wanted(accepted.candles)
        fetched = accepted.candles.since(self.plan.first_needed_micros(to_micros(target[0])))
        laid = self.history.under(fetched)
        ranges = self._ranges(target, laid)
        report = attrs.evolve(report, fetched=len(fetched))
        if not ranges:
            return Work(report, fetched, laid.candles)
        history = self.history.around(laid.candles, self.plan.first_needed(ranges[0][0]), ranges[-1][1])
        report = attrs.evolve(report, new_candles=laid.new, restated_candles=laid.restated)
        work = Work(report, fetched, history, tuple(ranges))
        if work.rows and len(history) <= self.plan.lookback:
            raise InsufficientHistory(
                self.plan.lookback + 1, len(history), f"the features of {self.feature_group.title}"
            )
        return work.planned(self.plan, self.batch_size)

    def _fetch(self, request: CandleRequest) -> Accepted:
        if self.source is None:
            raise ConfigError("no source of candles; name one, such as --source sample or --source csv --path FILE")
        self.notify(Notice(1, "start", f"Fetching {_described(request)}"))
        accepted = accept(
            self.source.fetch(request),
            request,
            repair_volume=self.repair_volume,
            quarantine=self.quarantine,
            write_quarantine=not self.dry_run,
        )
        self.notify(Notice(1, "done", f"Fetched {len(accepted.candles):,} records"))
        return accepted

    def _begun(self, mode: str, accepted: Accepted) -> IngestReport:
        return IngestReport(
            mode=mode,
            symbol=self.symbol,
            interval=self.interval,
            group=self.feature_group.name,
            version=self.feature_group.version,
            features=len(self.plan.features),
            engine=LOCAL if self.engine is None else self.engine.name,
            fetched=len(accepted.candles),
            rejected=accepted.validation.rejected,
            repaired=accepted.validation.repaired,
            dry_run=self.dry_run,
            warnings=accepted.warnings,
            quarantine=None if accepted.quarantine is None else str(accepted.quarantine),
            source=accepted.source.to_dict(),
            validation=accepted.validation.to_dict(),
        )

    def _ranges(self, wanted: Rows, laid: Overlay) -> list[Rows]:
        """The open times to compute: what was asked for, and what the changed candles reach among stored features."""
        ranges = [wanted]
        span = laid.changed_span
        if span is not None and is_applied(self.store, self.feature_group):
            summary = self.store.summary(self.feature_group, {"symbol": self.symbol})
            if summary.start is not None and summary.end is not None:
                reach = self.plan.reach(span[1] - self.step)
                ranges.append((max(span[0], summary.start - self.step), min(reach, summary.end)))
        return joined(ranges)

    def write(self, work: Work, parts: Sequence[Partition], blocks: Iterable[FeatureBlock]) -> IngestReport:
        """Commit prepared work, whose partitions' features are ``blocks``; in a dry run only compare with what is stored.

        Takes one block of each partition and no more.
        """
        if not work.ranges:
            return work.report
        report = attrs.evolve(work.report, partitions=len(parts), overlap=sum(part.overlap for part in parts))
        self._tell_plan(report, parts)
        frames = self._announced(self._feature_frames(islice(blocks, len(parts)), report), report)
        if self.dry_run:
            return report.written(preview(self.store, self.feature_group, frames, self.symbol))
        first = list(islice(frames, 1))  # before anything is applied: indicators that fail leave the store as it was
        self.store.apply(self.candle_group)
        self.store.apply(self.feature_group)
        done = commit(self.store, self.feature_group, chain(first, frames), self.plugins)
        self.notify(Notice(4, "start", "Computing feature statistics"))
        commit(self.store, self.candle_group, self._candle_frames(work.fetched), self.plugins, describe=False)
        outcome = "Statistics computed and stored" if done.report.commit_id else "Nothing changed, nothing to describe"
        self.notify(Notice(4, "done", done.warnings[0] if done.warnings else outcome))
        return report.written(done.report, done.warnings)

    def _tell_plan(self, report: IngestReport, parts: Sequence[Partition]) -> None:
        self.notify(Notice(2, "start", "Engineering features"))
        text = f"{len(self.plan.features)} features"
        if self.engine is not None:
            most = max(map(len, parts), default=0)
            text += (
                f" on {self.engine.name}, {self.engine.workers} workers: {report.partitions:,} partitions of at most "
                f"{most:,} rows, with {report.overlap:,} candles of overlap"
            )
        self.notify(Notice(2, "done", text, detail=self.plan.feature_names))

    def _feature_frames(self, blocks: Iterable[FeatureBlock], report: IngestReport) -> Iterator[pd.DataFrame]:
        assert report.batch_size is not None
        return batches((block.frame(self.symbol, self.feature_group) for block in blocks), report.batch_size)

    def _candle_frames(self, candles: CandleArrays) -> Iterator[pd.DataFrame]:
        for first in range(0, len(candles), CANDLE_ROWS):
            yield candle_frame(candles.rows(first, first + CANDLE_ROWS), self.symbol, self.candle_group)

    def _announced(self, frames: Iterator[pd.DataFrame], report: IngestReport) -> Iterator[pd.DataFrame]:
        total = report.batches
        self.notify(Notice(3, "start", f"Ingesting features in batches of {report.batch_size:,}", done=0, total=total))
        for number, frame in enumerate(frames, 1):
            yield frame
            text = f"Batch {number}/{total} ingested ({len(frame):,} records)"
            self.notify(Notice(3, "progress", text, done=number, total=total))

    def _check_definitions(self) -> None:
        stored = self.store.definitions()
        for group in (self.candle_group, self.feature_group):
            catalogue.check_apply(stored, group)
            refuse_reuse(self.store, group, stored)


def _end(candles: CandleArrays) -> datetime:
    """The open time that would follow the last candle."""
    return from_micros(candles.timestamp[-1] + candles.step)


def _described(request: CandleRequest) -> str:
    if request.last is not None:
        return f"the last {request.last:,} candles of {request.symbol}, {request.interval}"
    until = "now" if request.end is None else f"{request.end:%Y-%m-%d %H:%M}"
    return f"candles of {request.symbol}, {request.interval}, from {request.start:%Y-%m-%d %H:%M} to {until}"


def batches(frames: Iterable[pd.DataFrame], size: int) -> Iterator[pd.DataFrame]:
    """The same rows in frames of exactly ``size``, the last one excepted."""
    left: pd.DataFrame | None = None
    for frame in frames:
        rest = frame if left is None else pd.concat([left, frame], ignore_index=True)
        start = 0
        while len(rest) - start >= size:
            yield rest.iloc[start : start + size]
            start += size
        left = rest.iloc[start:] if start < len(rest) else None
    if left is not None:
        yield left
