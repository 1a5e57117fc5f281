"""Memory stores with one bug each in writing and what it reports, and the law that catches it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any

import attrs
import pandas as pd

from btcfs.definitions import FeatureGroup
from btcfs.memory import MemoryStore
from conformance.planted_values import listed


class CommitsEachFrame(MemoryStore):
    """A stream is as many commits as frames, so that a broken one leaves half of itself."""

    def write(self, group: FeatureGroup, rows: Any) -> Any:
        if isinstance(rows, pd.DataFrame):
            return super().write(group, rows)
        reports = [super(CommitsEachFrame, self).write(group, frame) for frame in rows]
        return reports[-1] if reports else super().write(group, [])


class LetsTheLastFrameWin(MemoryStore):
    """A key that stands in two frames of a stream is taken from the later one."""

    def write(self, group: FeatureGroup, rows: Any) -> Any:
        frames = listed(rows)
        if len(frames) < 2:
            return super().write(group, frames)
        together = pd.concat([frame for frame in frames if len(frame)] or frames[:1], ignore_index=True)
        return super().write(group, together.drop_duplicates(list(group.primary_key), keep="last"))


class TakesNanForAChange(MemoryStore):
    """Rows with NaN are updated each time they are written."""

    def _unchanged(self, row: Any, event_time: int, values: tuple[Any, ...]) -> bool:
        return not any(value != value for value in values) and super()._unchanged(row, event_time, values)


class RewritesEqualRows(MemoryStore):
    """Equal content is committed again."""

    def _unchanged(self, row: Any, event_time: int, values: tuple[Any, ...]) -> bool:
        return False


class ComparesLoosely(MemoryStore):
    """Values are equal if they differ by less than 1e-9."""

    def _unchanged(self, row: Any, event_time: int, values: tuple[Any, ...]) -> bool:
        close = [
            abs(new - old) < 1e-9 if isinstance(new, float) and new == new and old == old else None
            for old, new in zip(row.values, values, strict=True)
        ]
        mixed = tuple(old if near else new for old, new, near in zip(row.values, values, close, strict=True))
        return super()._unchanged(row, event_time, mixed)


class IgnoresEventTimes(MemoryStore):
    """A row whose event time alone has changed counts as unchanged."""

    def _unchanged(self, row: Any, event_time: int, values: tuple[Any, ...]) -> bool:
        return super()._unchanged(row, row.event_time, values)


class ComparesWithTheFirst(MemoryStore):
    """Content is compared with the first state of a key and not with the newest."""

    def _unchanged(self, row: Any, event_time: int, values: tuple[Any, ...]) -> bool:
        tables = self._open().tables.values()
        first = next(
            states[0] for table in tables for states in table.values() if any(row is state for state in states)
        )
        return super()._unchanged(first, event_time, values)


class CountsUpdatesAsInserts(MemoryStore):
    """The report calls every changed row inserted."""

    def write(self, group: FeatureGroup, rows: Any) -> Any:
        report = super().write(group, rows)
        return attrs.evolve(report, inserted=report.changed, updated=0)


class HasOneCommitId(MemoryStore):
    """All commits are called the same."""

    def write(self, group: FeatureGroup, rows: Any) -> Any:
        report = super().write(group, rows)
        return attrs.evolve(report, commit_id=report.commit_id and "commit")


class NamesACommitOfNothing(MemoryStore):
    """A write that changed nothing has a commit id all the same."""

    def write(self, group: FeatureGroup, rows: Any) -> Any:
        report = super().write(group, rows)
        return attrs.evolve(report, commit_id=report.commit_id or "none")


class TellsTheTimeInSeconds(MemoryStore):
    """The reported instant of a commit is cut to whole seconds."""

    def write(self, group: FeatureGroup, rows: Any) -> Any:
        report = super().write(group, rows)
        return attrs.evolve(report, committed_at=report.committed_at and report.committed_at.replace(microsecond=0))


class ReportsTheOpenTimes(MemoryStore):
    """The range of the report is of open times and not of event times."""

    def write(self, group: FeatureGroup, rows: Any) -> Any:
        report = super().write(group, rows)
        step = group.step
        if step is None or report.start is None or report.end is None:
            return report
        return attrs.evolve(report, start=report.start - step, end=report.end - step)


class AppliesOnWrite(MemoryStore):
    """A write to an unknown group applies it."""

    def write(self, group: FeatureGroup, rows: Any) -> Any:
        self.apply(group)
        return super().write(group, rows)


class LocksNobodyOut(MemoryStore):
    """An exclusive block keeps no other writer waiting."""

    def exclusive(self) -> Any:
        self._open()
        return nullcontext()


class LocksReadersOut(MemoryStore):
    """An exclusive block keeps those who only read waiting too."""

    def exclusive(self) -> Any:
        self._open()
        return self._held()

    @contextmanager
    def _held(self) -> Iterator[None]:
        contents = self._open()
        with contents.turn, contents.lock:
            yield


CAUGHT_BY: Mapping[type[MemoryStore], str] = {
    CommitsEachFrame: "test_a_stream_that_breaks_leaves_nothing",
    LetsTheLastFrameWin: "test_a_key_stands_once_in_a_stream",
    TakesNanForAChange: "test_missing_equals_missing",
    RewritesEqualRows: "test_equal_content_is_left_alone",
    ComparesLoosely: "test_the_smallest_change_is_a_change",
    IgnoresEventTimes: "test_the_smallest_change_is_a_change",
    ComparesWithTheFirst: "test_going_back_is_a_change",
    CountsUpdatesAsInserts: "test_the_last_write_wins",
    HasOneCommitId: "test_commits_are_in_order",
    NamesACommitOfNothing: "test_equal_content_is_left_alone",
    TellsTheTimeInSeconds: "test_commits_are_in_order",
    ReportsTheOpenTimes: "test_the_report_of_a_first_write",
    AppliesOnWrite: "test_an_unknown_group_is_not_written",
    LocksNobodyOut: "test_exclusive_keeps_other_writers_out",
    LocksReadersOut: "test_exclusive_lets_others_read",
}
