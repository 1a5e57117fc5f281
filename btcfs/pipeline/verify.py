"""Checking, without changing anything, that a store holds what ingestion should have put there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Literal

import attrs
import numpy as np

from btcfs import catalogue, frames
from btcfs.definitions import TIME_KEY, FeatureGroup, FeatureView
from btcfs.differences import differences
from btcfs.errors import BtcfsError, NotFound
from btcfs.instants import from_micros
from btcfs.pipeline.audit import online_differences, recomputed, sample_times
from btcfs.pipeline.plan import Plan
from btcfs.pipeline.standard import named
from btcfs.store import FeatureStore

SAMPLE = 365
AUDITED = 20


@attrs.frozen
class Check:
    """One question and its answer: ``ok``, ``warning`` or ``failed``, and what to do about it."""

    name: str
    status: Literal["ok", "warning", "failed"]
    message: str
    remedy: str = ""

    def to_dict(self) -> dict[str, str]:
        return attrs.asdict(self)


@attrs.frozen
class Verification:
    """What is verified: a store's feature group of one symbol, against the plan of the installed features."""

    store: FeatureStore
    plan: Plan
    group: FeatureGroup
    candles: FeatureGroup
    symbol: str
    now: datetime

    def checks(self) -> Iterator[Check]:
        """The checks in order; those that a failed one makes meaningless are left out."""
        yield Check("connection", "ok", f"Connected to {self.store.name} store")
        found = self._group_check()
        yield found
        if found.status == "failed":
            return
        view_check, view = self._view_check()
        yield view_check
        rows = self._rows_check()
        yield rows
        if rows.status == "failed":
            return
        yield self._freshness()
        yield self._coverage()
        times = sample_times(self.store, self.group, self.symbol, AUDITED)
        if found.status == "ok":
            yield self._guarded("recomputation", lambda: self._recomputation(times))
        if view is not None:
            yield self._guarded("online", lambda: self._online(view, times))

    def _group_check(self) -> Check:
        try:
            stored = catalogue.find_group(self.store.definitions(), self.group.name, self.group.version)
        except NotFound as exc:
            return Check("group", "failed", str(exc), "btcfs ingest historical --days 365")
        lines = differences(stored, self.group)
        if lines:
            text = f"Feature group {stored.title} differs from the installed features: {'; '.join(lines[:5])}"
            return Check(
                "group", "warning", text, f"ingest into version {stored.version + 1}, or install what wrote it"
            )
        return Check("group", "ok", f"Feature group found: {stored.title}")

    def _view_check(self) -> tuple[Check, FeatureView | None]:
        interval = self.group.interval or "1d"
        try:
            views = [
                catalogue.find_view(self.store.definitions(), named(stem, interval))
                for stem in ("bitcoin_training_view", "bitcoin_inference_view")
            ]
        except NotFound as exc:
            return Check("view", "failed", str(exc), "btcfs ingest create-view"), None
        return Check("view", "ok", f"Feature view found: {' and '.join(v.title for v in views)}"), views[1]

    def _rows_check(self) -> Check:
        summary = self.store.summary(self.group, {"symbol": self.symbol})
        if summary.end is None or self.group.step is None:
            return Check("rows", "failed", f"No rows of {self.symbol}", "btcfs ingest historical --days 365")
        rows = self.store.read(
            self.group, summary.end - SAMPLE * self.group.step, entity={"symbol": self.symbol}, columns=[TIME_KEY]
        )
        return Check("rows", "ok", f"Retrieved {min(len(rows), SAMPLE)} sample records of {summary.rows:,}")

    def _freshness(self) -> Check:
        summary = self.store.summary(self.group, {"symbol": self.symbol})
        assert summary.end is not None
        step = timedelta(microseconds=self.plan.step)
        behind = max(0, (self.now - summary.end) // step)
        text = f"The newest row was known at {summary.end:%Y-%m-%d %H:%M} UTC, {behind:,} closed candles ago"
        return Check("freshness", "ok" if behind < 1 else "warning", text, "" if behind < 1 else "btcfs ingest daily")

    def _coverage(self) -> Check:
        entity = {"symbol": self.symbol}
        features = frames.micros(self.store.read(self.group, entity=entity, columns=[TIME_KEY])[TIME_KEY])
        candles = frames.micros(self.store.read(self.candles, entity=entity, columns=[TIME_KEY])[TIME_KEY])
        bare = np.setdiff1d(candles[candles >= features[0]], features)
        if len(bare):
            text = f"{len(bare):,} candles have no features, the first {from_micros(bare[0]):%Y-%m-%d %H:%M}"
            start, end = from_micros(bare[0]), from_micros(bare[-1] + self.plan.step)
            return Check(
                "coverage", "failed", text, f"btcfs ingest backfill --start {start:%Y-%m-%d} --end {end:%Y-%m-%d}"
            )
        missing = int((candles[-1] - candles[0]) // self.plan.step + 1 - len(candles))
        if missing:
            wide = int(np.argmax(np.diff(candles) > self.plan.step))
            first = from_micros(candles[wide] + self.plan.step)
            text = f"{missing:,} candles are missing in between, the first {first:%Y-%m-%d %H:%M}"
            return Check("coverage", "warning", text, "btcfs ingest backfill for that range, if the source has it")
        return Check("coverage", "ok", f"No gap in {len(candles):,} candles, features for every one since the first")

    def _recomputation(self, times: list[datetime]) -> Check:
        found = recomputed(self.store, self.plan, self.group, self.candles, self.symbol, times)
        if found:
            text = f"{len(found)} values differ from their candles, the first {found[0]}"
            return Check("recomputation", "failed", text, "btcfs ingest backfill over that time")
        return Check("recomputation", "ok", f"{len(times)} rows recomputed from their candles, equal bit for bit")

    def _online(self, view: FeatureView, times: list[datetime]) -> Check:
        found = online_differences(self.store, view, self.group, self.symbol, times)
        if found:
            text = f"{len(found)} online values differ from the offline ones, the first {found[0]}"
            return Check("online", "failed", text, "btcfs store rebuild-online")
        return Check("online", "ok", f"{len(times)} online vectors equal the offline rows, bit for bit")

    def _guarded(self, name: str, check: Callable[[], Check]) -> Check:
        """A check that cannot be carried out has failed; the others still tell something."""
        try:
            return check()
        except BtcfsError as exc:
            return Check(name, "failed", str(exc), "btcfs store info")
