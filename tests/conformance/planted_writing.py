"""Memory stores with one bug each in definitions, writing or deleting, and the law that catches it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any

import attrs
import numpy as np
import pandas as pd

from btcfs import catalogue
from btcfs.definitions import Definition, FeatureGroup
from btcfs.errors import DefinitionError
from btcfs.instants import UTC
from btcfs.memory import MemoryStore


def listed(rows: Any) -> list[pd.DataFrame]:
    return [rows] if isinstance(rows, pd.DataFrame) else list(rows)


class ChangesRows(MemoryStore):
    """The start of several bugs: rows are altered on their way in."""

    def altered(self, group: FeatureGroup, frame: pd.DataFrame) -> pd.DataFrame:
        raise NotImplementedError

    def write(self, group: FeatureGroup, rows: Any) -> Any:
        if isinstance(rows, pd.DataFrame):
            return super().write(group, self.altered(group, rows.copy()))
        return super().write(group, (self.altered(group, frame.copy()) for frame in rows))

    def each(self, group: FeatureGroup, frame: pd.DataFrame, dtype: str, change: Any) -> pd.DataFrame:
        for name in [f.name for f in group.features if f.dtype == dtype and f.name in frame.columns]:
            frame[name] = change(frame[name])
        return frame


class RoundsToFloat32(ChangesRows):
    """Floats lose half their digits."""

    def altered(self, group: FeatureGroup, frame: pd.DataFrame) -> pd.DataFrame:
        with np.errstate(over="ignore"):
            return self.each(
                group, frame, "float64", lambda c: c.where(c.abs() > 1e38, c.astype("float32").astype("float64"))
            )


class FillsWithZero(ChangesRows):
    """NaN becomes zero."""

    def altered(self, group: FeatureGroup, frame: pd.DataFrame) -> pd.DataFrame:
        return self.each(group, frame, "float64", lambda column: column.fillna(0.0))


class FlushesDenormals(ChangesRows):
    """Numbers near zero become zero."""

    def altered(self, group: FeatureGroup, frame: pd.DataFrame) -> pd.DataFrame:
        return self.each(group, frame, "float64", lambda column: column.where(~(column.abs() < 1e-300), 0.0))


class PassesIntegersThroughFloats(ChangesRows):
    """Whole numbers beyond 2**53 are rounded."""

    def altered(self, group: FeatureGroup, frame: pd.DataFrame) -> pd.DataFrame:
        return self.each(group, frame, "int64", lambda c: c.clip(-(2**62), 2**62).astype("float64").astype("int64"))


class CutsToMilliseconds(ChangesRows):
    """Times lose their microseconds."""

    def altered(self, group: FeatureGroup, frame: pd.DataFrame) -> pd.DataFrame:
        return self.each(group, frame, "timestamp", lambda column: column.dt.floor("ms"))


class StoresEmptyTexts(ChangesRows):
    """A missing string becomes an empty one."""

    def altered(self, group: FeatureGroup, frame: pd.DataFrame) -> pd.DataFrame:
        return self.each(group, frame, "string", lambda column: column.where(column.notna(), ""))


class GuessesTheZone(ChangesRows):
    """A naive time is taken for UTC."""

    def altered(self, group: FeatureGroup, frame: pd.DataFrame) -> pd.DataFrame:
        for name in frame.columns:
            if frame[name].dtype.kind == "M" and frame[name].dt.tz is None:
                frame[name] = frame[name].dt.tz_localize(UTC)
        return frame


class DropsFormingCandles(ChangesRows):
    """A row of the future is left out without a word, and the rest is written."""

    def altered(self, group: FeatureGroup, frame: pd.DataFrame) -> pd.DataFrame:
        if group.event_time not in frame.columns or not isinstance(frame[group.event_time].dtype, pd.DatetimeTZDtype):
            return frame
        return frame[~(frame[group.event_time] > pd.Timestamp.now("UTC"))]


class MutatesItsInput(MemoryStore):
    """The event time is filled into the caller's frame."""

    def write(self, group: FeatureGroup, rows: Any) -> Any:
        frames = listed(rows)
        report = super().write(group, frames)
        for frame in frames:
            if group.event_time not in frame.columns:
                frame[group.event_time] = frame["timestamp"] + group.step
        return report


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


class RefusesDescriptions(MemoryStore):
    """A new description counts as another definition."""

    def apply(self, definition: Definition) -> None:
        for stored in self.definitions():
            if type(stored) is type(definition) and stored.ref == definition.ref and stored != definition:
                catalogue.refuse_change(self.definitions(), stored, definition)
                raise DefinitionError("the description changed")
        super().apply(definition)


class KeepsOldDescriptions(MemoryStore):
    """A new description is dropped."""

    def apply(self, definition: Definition) -> None:
        try:
            catalogue.same(self.definitions(), definition)
        except LookupError:
            super().apply(definition)


class ReusesAVersion(MemoryStore):
    """Another definition under a stored version takes its place."""

    def apply(self, definition: Definition) -> None:
        contents = self._open()
        kept = [d for d in contents.definitions if type(d) is not type(definition) or d.ref != definition.ref]
        catalogue.check_apply(kept, definition)
        contents.definitions = kept
        super().apply(definition)


class AppliesAnyView(MemoryStore):
    """A view is not compared with its groups."""

    def apply(self, definition: Definition) -> None:
        contents = self._open()
        if isinstance(definition, FeatureGroup):
            super().apply(definition)
        else:
            contents.definitions = catalogue.ordered([*contents.definitions, definition])


class OrdersDefinitionsByApplication(MemoryStore):
    """Definitions come in the order in which they were applied."""

    def definitions(self) -> Any:
        order = self.__dict__.setdefault("_order", [])
        return sorted(super().definitions(), key=lambda d: order.index(d.ref) if d.ref in order else -1)

    def apply(self, definition: Definition) -> None:
        self.__dict__.setdefault("_order", []).append(definition.ref)
        super().apply(definition)


class DeletesDefinitionsOnly(MemoryStore):
    """The rows of a deleted group come back with its name."""

    def delete(self, definition: Definition, *, all_versions: bool = False) -> None:
        tables = dict(self._open().tables)
        super().delete(definition, all_versions=all_versions)
        self._open().tables = tables


class DeletesWhatIsInUse(MemoryStore):
    """A group goes although a view uses it."""

    def delete(self, definition: Definition, *, all_versions: bool = False) -> None:
        contents = self._open()
        before = contents.definitions
        try:
            contents.definitions = [d for d in before if type(d) is type(definition)]
            super().delete(definition, all_versions=all_versions)
        finally:
            others = [d for d in before if type(d) is not type(definition)]
            contents.definitions = catalogue.ordered([*contents.definitions, *others])


class DeletesEveryVersion(MemoryStore):
    """The other versions go with the one that was meant."""

    def delete(self, definition: Definition, *, all_versions: bool = False) -> None:
        super().delete(definition, all_versions=True)


class DeletesNothingInSilence(MemoryStore):
    """Deleting what is not stored is no error."""

    def delete(self, definition: Definition, *, all_versions: bool = False) -> None:
        if any(type(d) is type(definition) and d.ref == definition.ref for d in self.definitions()):
            super().delete(definition, all_versions=all_versions)


CAUGHT_BY: Mapping[type[MemoryStore], str] = {
    RoundsToFloat32: "test_floats_keep_their_bits",
    FillsWithZero: "test_floats_keep_their_bits",
    FlushesDenormals: "test_floats_keep_their_bits",
    PassesIntegersThroughFloats: "test_other_types_keep_their_values",
    CutsToMilliseconds: "test_other_types_keep_their_values",
    StoresEmptyTexts: "test_other_types_keep_their_values",
    GuessesTheZone: "test_rows_that_do_not_fit_are_refused",
    DropsFormingCandles: "test_a_forming_candle_is_refused",
    MutatesItsInput: "test_frames_given_are_not_touched",
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
    RefusesDescriptions: "test_a_new_description_is_taken",
    KeepsOldDescriptions: "test_a_new_description_is_taken",
    ReusesAVersion: "test_a_version_never_changes",
    AppliesAnyView: "test_a_view_must_fit_its_groups",
    OrdersDefinitionsByApplication: "test_definitions_are_ordered",
    DeletesDefinitionsOnly: "test_a_deleted_history_is_gone",
    DeletesWhatIsInUse: "test_a_group_in_use_stays",
    DeletesEveryVersion: "test_one_version_goes_alone",
    DeletesNothingInSilence: "test_deleting_what_is_not_stored_is_not_found",
}
