"""Ingestion: fetch candles, validate them, compute the features they touch, and commit what changed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path

import attrs
import numpy as np
import pandas as pd

from btcfs import catalogue
from btcfs.definitions import FeatureGroup, Label
from btcfs.errors import ConfigError, InsufficientHistory, NotFound
from btcfs.instants import from_micros, now, to_micros
from btcfs.pipeline.acceptance import Accepted, accept
from btcfs.pipeline.candles import CandleArrays
from btcfs.pipeline.commit import commit
from btcfs.pipeline.compute import compute_blocks
from btcfs.pipeline.history import (
    Overlay,
    Rows,
    candle_frame,
    first_gap,
    joined,
    overlay,
    stored_candles,
)
from btcfs.pipeline.ingest_report import IngestReport, Notice
from btcfs.pipeline.plan import Plan, plan
from btcfs.pipeline.preview import preview
from btcfs.pipeline.standard import Views, candle_group, named, views
from btcfs.plugins import Plugins, installed_plugins
from btcfs.sources import CandleRequest, Source
from btcfs.store import FeatureStore

BATCH_ROWS = 100
MOST_BATCHES = 100
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
    stops the run. ``now`` is the instant that decides which candles are closed. ``notify`` is told
    of each step.

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
    notify: Listener = _silent

    def __attrs_post_init__(self) -> None:
        if self.batch_size is not None and self.batch_size < 1:
            raise ConfigError(f"batch size {self.batch_size} is not a whole number of at least 1")

    @cached_property
    def plan(self) -> Plan:
        return plan(self.plugins.indicators(), self.interval, self.features or None)

    @cached_property
    def feature_group(self) -> FeatureGroup:
        name = self.group or named("bitcoin_features", self.interval)
        count = len(self.plan.features)
        return self.plan.group(name, self.version, f"{count} features of {self.interval} Bitcoin candles")

    @cached_property
    def candle_group(self) -> FeatureGroup:
        return candle_group(self.interval, self.candles)

    def historical(self, days: int) -> IngestReport:
        """Ingest the last ``days`` days that the source has closed candles of, fetching the lookback before them too."""
        step = timedelta(microseconds=self.plan.step)
        rows = int(timedelta(days=days) / step)
        if rows < 1:
            raise ConfigError(f"{days} days hold no candle of {self.interval}; ask for more days")
        request = self._request(last=rows + self.plan.segment + self.plan.warmup)

        def wanted(fetched: CandleArrays) -> Rows:
            end = from_micros(fetched.timestamp[-1]) + step
            return end - rows * step, end

        return self._run("historical", request, wanted)

    def daily(self) -> IngestReport:
        """Continue from the newest stored candle: fetch what followed it, fill gaps, recompute what changed.

        NotFound if no candle of the symbol is stored yet.
        """
        with self.store.exclusive():
            return self._continue()

    def backfill(self, start: datetime, end: datetime) -> IngestReport:
        """Ingest the candles with ``start <= open time < end``, fetching the lookback before them too."""
        if start >= end:
            raise ConfigError(f"backfill ends {end}, before it starts {start}")
        request = self._request(start=self.plan.first_needed(start), end=end)
        return self._run("backfill", request, lambda fetched: (start, end))

    def create_views(self, label: Label | None = None, version: int = 1) -> Views:
        """Apply the training view and its inference twin over the stored feature group. NotFound if there is none."""
        name = self.group or named("bitcoin_features", self.interval)
        group = catalogue.find_group(self.store.definitions(), name, self.version)
        made = views(group, label=label or Label(), version=version)
        stored = self.store.definitions()
        for view in (made.training, made.inference):
            catalogue.check_apply(stored, view)
        if not self.dry_run:
            self.store.apply(made.training)
            self.store.apply(made.inference)
        return made

    def _request(
        self, start: datetime | None = None, end: datetime | None = None, last: int | None = None
    ) -> CandleRequest:
        return CandleRequest(self.symbol, self.interval, start=start, end=end, last=last, now=self.now or now())

    def _continue(self) -> IngestReport:
        step = timedelta(microseconds=self.plan.step)
        self._check_definitions()
        held = self._newest_event_time(self.candle_group)
        done = self._newest_event_time(self.feature_group)
        if held is None or done is None:
            raise NotFound(
                f"{self.feature_group.title} holds nothing of {self.symbol} to continue from; "
                f"run btcfs ingest historical --days 365 first"
            )
        watermark = held - step  # open time of the newest stored candle
        recent = stored_candles(self.store, self.candle_group, self.symbol, self.plan.first_needed(watermark))
        since = [watermark - OVERLAP * step]
        gap = first_gap(recent)
        if gap is not None:
            since.append(gap)
        request = self._request(start=min(since))
        return self._run("daily", request, lambda fetched: (done, from_micros(fetched.timestamp[-1]) + step))

    def _run(self, mode: str, request: CandleRequest, wanted: Callable[[CandleArrays], Rows]) -> IngestReport:
        with self.store.exclusive():
            self._check_definitions()
            accepted = self._fetch(request)
            report = self._begun(mode, accepted)
            if not len(accepted.candles):
                return report
            target = wanted(accepted.candles)
            fetched = accepted.candles.since(self.plan.first_needed_micros(to_micros(target[0])))
            laid = self._overlay(fetched)
            ranges = self._ranges(target, laid)
            report = attrs.evolve(report, fetched=len(fetched))
            return self._commit(report, laid, ranges, fetched)

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
            fetched=len(accepted.candles),
            rejected=accepted.validation.rejected,
            repaired=accepted.validation.repaired,
            dry_run=self.dry_run,
            warnings=accepted.warnings,
            quarantine=None if accepted.quarantine is None else str(accepted.quarantine),
            source=accepted.source.to_dict(),
            validation=accepted.validation.to_dict(),
        )

    def _overlay(self, fetched: CandleArrays) -> Overlay:
        """The fetched candles over all that are stored in their span."""
        first, last = from_micros(fetched.timestamp[0]), from_micros(fetched.timestamp[-1] + fetched.step)
        return overlay(self._stored(first, last), fetched)

    def _stored(self, start: datetime, end: datetime | None) -> CandleArrays:
        if not self._has(self.candle_group):
            return CandleArrays.none(self.interval)
        return stored_candles(self.store, self.candle_group, self.symbol, start, end)

    def _ranges(self, wanted: Rows, laid: Overlay) -> list[Rows]:
        """The open times to compute: what was asked for, and what the changed candles reach among stored features."""
        ranges = [wanted]
        span = laid.changed_span
        if span is not None and self._has(self.feature_group):
            summary = self.store.summary(self.feature_group, {"symbol": self.symbol})
            if summary.start is not None and summary.end is not None:
                step = timedelta(microseconds=self.plan.step)
                first, after = summary.start - step, summary.end
                reach = self.plan.reach(span[1] - step)
                ranges.append((max(span[0], first), min(reach, after)))
        return joined(ranges)

    def _commit(self, report: IngestReport, laid: Overlay, ranges: list[Rows], fetched: CandleArrays) -> IngestReport:
        if not ranges:
            return report
        history = self._around(laid.candles, ranges)
        rows = sum(len(history.between(start, end)) for start, end in ranges)
        if rows and len(history) <= self.plan.lookback:
            raise InsufficientHistory(
                self.plan.lookback + 1, len(history), f"the features of {self.feature_group.title}"
            )
        size = self.batch_size or max(BATCH_ROWS, -(-rows // MOST_BATCHES))
        self.notify(Notice(2, "start", "Engineering features"))
        self.notify(Notice(2, "done", f"{len(self.plan.features)} features", detail=self.plan.feature_names))
        frames = self._announced(self._feature_frames(history, ranges, size), rows, size)
        report = self._planned(report, laid, ranges, history, size)
        if self.dry_run:
            return report.written(
                preview(self.store, self.feature_group, frames, self.symbol, stored=self._has(self.feature_group))
            )
        self.store.apply(self.candle_group)
        self.store.apply(self.feature_group)
        done = commit(self.store, self.feature_group, frames, self.plugins)
        self.notify(Notice(4, "start", "Computing feature statistics"))
        commit(self.store, self.candle_group, self._candle_frames(fetched), self.plugins, describe=False)
        outcome = "Statistics computed and stored" if done.report.commit_id else "Nothing changed, nothing to describe"
        self.notify(Notice(4, "done", done.warnings[0] if done.warnings else outcome))
        return report.written(done.report, done.warnings)

    def _planned(
        self, report: IngestReport, laid: Overlay, ranges: list[Rows], history: CandleArrays, size: int
    ) -> IngestReport:
        computed = [history.between(start, end) for start, end in ranges]
        times = [candles.timestamp for candles in computed if len(candles)]
        rows = sum(map(len, computed))
        warmup = max(0, self.plan.lookback - int(np.searchsorted(history.timestamp, times[0][0]))) if times else 0
        warmup = min(warmup, rows)
        warnings = (
            f"{warmup} rows lie within {self.plan.lookback} candles of the first one known and have features without a value",
        )
        return attrs.evolve(
            report,
            new_candles=laid.new,
            restated_candles=laid.restated,
            start=from_micros(times[0][0]) if times else None,
            end=from_micros(times[-1][-1]) if times else None,
            warmup_rows=warmup,
            batch_size=size,
            batches=-(-rows // size),
            warnings=(*report.warnings, *warnings[: bool(warmup)]),
        )

    def _around(self, candles: CandleArrays, ranges: list[Rows]) -> CandleArrays:
        """The candles with those stored before and after them that the ranges need."""
        first, last = from_micros(candles.timestamp[0]), from_micros(candles.timestamp[-1] + candles.step)
        before = self._stored(self.plan.first_needed(ranges[0][0]), first)
        after = self._stored(last, ranges[-1][1])
        return before.followed_by(candles).followed_by(after)

    def _feature_frames(self, history: CandleArrays, ranges: list[Rows], size: int) -> Iterator[pd.DataFrame]:
        blocks = (block for start, end in ranges for block in compute_blocks(self.plan, history, start, end))
        return batches((block.frame(self.symbol, self.feature_group) for block in blocks if len(block)), size)

    def _candle_frames(self, candles: CandleArrays) -> Iterator[pd.DataFrame]:
        for first in range(0, len(candles), CANDLE_ROWS):
            yield candle_frame(candles.rows(first, first + CANDLE_ROWS), self.symbol, self.candle_group)

    def _announced(self, frames: Iterator[pd.DataFrame], rows: int, size: int) -> Iterator[pd.DataFrame]:
        total = -(-rows // size)
        self.notify(Notice(3, "start", f"Ingesting features in batches of {size:,}", done=0, total=total))
        for number, frame in enumerate(frames, 1):
            yield frame
            text = f"Batch {number}/{total} ingested ({len(frame):,} records)"
            self.notify(Notice(3, "progress", text, done=number, total=total))

    def _check_definitions(self) -> None:
        stored = self.store.definitions()
        for group in (self.candle_group, self.feature_group):
            catalogue.check_apply(stored, group)

    def _has(self, group: FeatureGroup) -> bool:
        return any(isinstance(d, FeatureGroup) and d.ref == group.ref for d in self.store.definitions())

    def _newest_event_time(self, group: FeatureGroup) -> datetime | None:
        return self.store.summary(group, {"symbol": self.symbol}).end if self._has(group) else None


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
