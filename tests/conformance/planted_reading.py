"""Memory stores with one bug each in reading, history or joining, and the law that catches it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pandas as pd

from btcfs import frames
from btcfs.definitions import FeatureGroup, FeatureView
from btcfs.errors import NotFound
from btcfs.instants import UTC
from btcfs.memory import MemoryStore
from btcfs.store import Capability, Summary

TICK = timedelta(microseconds=1)


class IncludesTheEnd(MemoryStore):
    """Ranges are closed."""

    def read(self, group: FeatureGroup, start: Any = None, end: Any = None, **options: Any) -> pd.DataFrame:
        return super().read(group, start, end and end + TICK, **options)


class ExcludesTheStart(MemoryStore):
    """Ranges are open at both ends."""

    def read(self, group: FeatureGroup, start: Any = None, end: Any = None, **options: Any) -> pd.DataFrame:
        return super().read(group, start and start + TICK, end, **options)


class TakesBoundsAsUtc(MemoryStore):
    """A bound without a zone is guessed."""

    def read(self, group: FeatureGroup, start: Any = None, end: Any = None, **options: Any) -> pd.DataFrame:
        zoned = [bound.replace(tzinfo=UTC) if bound and bound.tzinfo is None else bound for bound in (start, end)]
        return super().read(group, *zoned, **options)


class ReadsInWriteOrder(MemoryStore):
    """Rows come in the order of their commits."""

    def _rows(self, group: FeatureGroup, entity: Any, as_of: Any) -> Any:
        return sorted(super()._rows(group, entity, as_of), key=lambda row: row.committed_at)


class ReadsByEventTime(MemoryStore):
    """Rows come in the order of their event times."""

    def read(self, group: FeatureGroup, *bounds: Any, columns: Any = None, **options: Any) -> pd.DataFrame:
        frame = super().read(group, *bounds, **options).sort_values(group.event_time, ignore_index=True)
        return frame[list(columns or group.columns)]


class ReadsLocalTimes(MemoryStore):
    """Times come in the zone of New York."""

    def read(self, group: FeatureGroup, *bounds: Any, **options: Any) -> pd.DataFrame:
        frame = super().read(group, *bounds, **options)
        zoned = [name for name in frame.columns if isinstance(frame[name].dtype, pd.DatetimeTZDtype)]
        return frame.assign(**{name: frame[name].dt.tz_convert("America/New_York") for name in zoned})


class ReadsNanoseconds(MemoryStore):
    """Times come in another unit than they are promised in."""

    def read(self, group: FeatureGroup, *bounds: Any, **options: Any) -> pd.DataFrame:
        frame = super().read(group, *bounds, **options)
        return frame.assign(event_time=frame["event_time"].dt.as_unit("ns")) if "event_time" in frame else frame


class ReadsUntypedEmptiness(MemoryStore):
    """A frame without rows has no types."""

    def read(self, group: FeatureGroup, *bounds: Any, **options: Any) -> pd.DataFrame:
        frame = super().read(group, *bounds, **options)
        return frame if len(frame) else pd.DataFrame(columns=frame.columns)


class IgnoresTheEntity(MemoryStore):
    """The rows of every entity come."""

    def read(self, group: FeatureGroup, *bounds: Any, entity: Any = None, **options: Any) -> pd.DataFrame:
        return super().read(group, *bounds, **options)


class FiltersByOneColumn(MemoryStore):
    """Of an entity of several columns only the first one counts."""

    def _rows(self, group: FeatureGroup, entity: Any, as_of: Any) -> Any:
        return super()._rows(group, dict(list(entity.items())[:1]), as_of)


class IgnoresColumnOrder(MemoryStore):
    """The columns asked for come in the group's order."""

    def read(self, group: FeatureGroup, *bounds: Any, columns: Any = None, **options: Any) -> pd.DataFrame:
        wanted = [name for name in group.columns if name in columns] if columns else None
        return super().read(group, *bounds, columns=wanted, **options)


class KeepsSupersededRows(MemoryStore):
    """Every state of a row is read."""

    def read(
        self, group: FeatureGroup, *bounds: Any, columns: Any = None, as_of: Any = None, **options: Any
    ) -> pd.DataFrame:
        newest = super().read(group, *bounds, as_of=as_of, **options)
        table = self._open().tables[group.ref]
        old = [(*row.key, row.event_time, *row.values) for states in table.values() for row in states[:-1]]
        together = pd.concat([newest, frames.from_records(group, old)]) if old and as_of is None else newest
        return together.sort_values(list(group.primary_key), ignore_index=True)[list(columns or group.columns)]


class ReturnsItsOwnFrame(MemoryStore):
    """A frame is kept and given to the next reader too."""

    def read(self, group: FeatureGroup, *bounds: Any, **options: Any) -> pd.DataFrame:
        kept = self.__dict__.setdefault("_kept", {})
        key = (self._open().commits, group.ref, bounds, str(options))
        if key not in kept:
            kept[key] = super().read(group, *bounds, **options)
        return kept[key]


class ReadsUnknownGroupsAsEmpty(MemoryStore):
    """A group that is not stored has no rows, and no error."""

    def read(self, group: FeatureGroup, *bounds: Any, **options: Any) -> pd.DataFrame:
        try:
            return super().read(group, *bounds, **options)
        except NotFound:
            return frames.empty(group)


class TearsItsReads(MemoryStore):
    """A read is two looks at the store."""

    def read(self, group: FeatureGroup, *bounds: Any, **options: Any) -> pd.DataFrame:
        first, second = (super(TearsItsReads, self).read(group, *bounds, **options) for _ in range(2))
        half = len(first) // 2
        return pd.concat([first.iloc[:half], second.iloc[half:]], ignore_index=True)


class CountsHistory(MemoryStore):
    """A summary counts superseded rows."""

    def summary(self, group: FeatureGroup, entity: Any = None) -> Summary:
        found = super().summary(group, entity)
        states = sum(map(len, self._open().tables[group.ref].values())) if entity is None else found.rows
        return Summary(states, found.start, found.end)


class IgnoresAsOf(MemoryStore):
    """The past is the present."""

    def read(self, group: FeatureGroup, *bounds: Any, as_of: Any = None, **options: Any) -> pd.DataFrame:
        return super().read(group, *bounds, **options)


class ExcludesTheCommitAsked(MemoryStore):
    """As of its own instant a commit does not count."""

    def _rows(self, group: FeatureGroup, entity: Any, as_of: Any) -> Any:
        return super()._rows(group, entity, as_of and as_of - TICK)


class RoundsAsOf(MemoryStore):
    """As of an instant means as of the end of its second."""

    def _rows(self, group: FeatureGroup, entity: Any, as_of: Any) -> Any:
        return super()._rows(group, entity, as_of and as_of.replace(microsecond=999_999))


class JoinsThePresent(MemoryStore):
    """A join ignores as_of."""

    def get_historical_features(self, view: FeatureView, spine: pd.DataFrame, *, as_of: Any = None) -> pd.DataFrame:
        return super().get_historical_features(view, spine)


class PeeksByAMicrosecond(MemoryStore):
    """A join knows rows a microsecond early."""

    def get_historical_features(self, view: FeatureView, spine: pd.DataFrame, *, as_of: Any = None) -> pd.DataFrame:
        late = {}
        if "event_time" in spine and isinstance(spine["event_time"].dtype, pd.DatetimeTZDtype):
            late = {"event_time": spine["event_time"] + pd.Timedelta(1, "us")}
        joined = super().get_historical_features(view, spine.assign(**late), as_of=as_of)
        return joined.assign(**{name: spine[name] for name in late})


class RoundsInstants(MemoryStore):
    """Nanoseconds of the spine are rounded to the next microsecond."""

    def get_historical_features(self, view: FeatureView, spine: pd.DataFrame, *, as_of: Any = None) -> pd.DataFrame:
        if not isinstance(spine.get("event_time", pd.Series()).dtype, pd.DatetimeTZDtype):
            return super().get_historical_features(view, spine, as_of=as_of)
        rounded = spine.assign(event_time=spine["event_time"].dt.round("us"))
        return super().get_historical_features(view, rounded, as_of=as_of).assign(event_time=spine["event_time"])


class SortsTheSpine(MemoryStore):
    """Joined rows come by event time on an index of their own."""

    def get_historical_features(self, view: FeatureView, spine: pd.DataFrame, *, as_of: Any = None) -> pd.DataFrame:
        joined = super().get_historical_features(view, spine, as_of=as_of)
        return joined.sort_values("event_time", ignore_index=True)


class JoinsDistinctRows(MemoryStore):
    """A repeated spine row comes out once."""

    def get_historical_features(self, view: FeatureView, spine: pd.DataFrame, *, as_of: Any = None) -> pd.DataFrame:
        return super().get_historical_features(view, spine.drop_duplicates(), as_of=as_of)


class DropsUnknownRows(MemoryStore):
    """Spine rows for which nothing was known are left out."""

    def get_historical_features(self, view: FeatureView, spine: pd.DataFrame, *, as_of: Any = None) -> pd.DataFrame:
        joined = super().get_historical_features(view, spine, as_of=as_of)
        return joined.dropna(subset=list(view.features), how="all")


class OrdersFeaturesByName(MemoryStore):
    """The features of a training frame stand in alphabetical order."""

    def get_historical_features(self, view: FeatureView, spine: pd.DataFrame, *, as_of: Any = None) -> pd.DataFrame:
        joined = super().get_historical_features(view, spine, as_of=as_of)
        return joined[[*spine.columns, *sorted(view.features)]]


class OverwritesTheSpine(MemoryStore):
    """A spine column named like a feature is overwritten."""

    def get_historical_features(self, view: FeatureView, spine: pd.DataFrame, *, as_of: Any = None) -> pd.DataFrame:
        clear = spine.drop(columns=[name for name in view.features if name in spine])
        return super().get_historical_features(view, clear, as_of=as_of)


class PrefersTheFirstOfEquals(MemoryStore):
    """Of rows with one event time the one with the smallest key counts."""

    def _by_entity(self, group: FeatureGroup, as_of: Any) -> Any:
        def order(row: Any) -> Any:
            return (row.event_time, [-part if isinstance(part, int) else 0 for part in row.key])

        return {entity: sorted(rows, key=order) for entity, rows in super()._by_entity(group, as_of).items()}


class AnswersWhenClosed(MemoryStore):
    """Close does nothing."""

    def close(self) -> None:
        """Forget to close."""


class HidesACapability(MemoryStore):
    """What is not declared works all the same."""

    capabilities = frozenset(Capability) - {Capability.TIME_TRAVEL}


CAUGHT_BY: Mapping[type[MemoryStore], str] = {
    IncludesTheEnd: "test_ranges_are_half_open",
    ExcludesTheStart: "test_ranges_are_half_open",
    TakesBoundsAsUtc: "test_bounds_of_any_zone",
    ReadsInWriteOrder: "test_rows_are_ordered_by_primary_key",
    ReadsByEventTime: "test_rows_are_ordered_by_primary_key",
    ReadsLocalTimes: "test_written_rows_are_read",
    ReadsNanoseconds: "test_written_rows_are_read",
    ReadsUntypedEmptiness: "test_an_empty_result_has_its_columns",
    IgnoresTheEntity: "test_an_entity_is_read_alone",
    FiltersByOneColumn: "test_an_entity_is_read_alone",
    IgnoresColumnOrder: "test_columns_are_chosen_and_ordered",
    KeepsSupersededRows: "test_the_last_write_wins",
    ReturnsItsOwnFrame: "test_a_frame_read_is_the_readers",
    ReadsUnknownGroupsAsEmpty: "test_what_is_not_applied_is_not_read",
    TearsItsReads: "test_readers_see_whole_commits",
    CountsHistory: "test_a_summary_counts_the_newest_state",
    IgnoresAsOf: "test_each_commit_can_be_seen_again",
    ExcludesTheCommitAsked: "test_each_commit_can_be_seen_again",
    RoundsAsOf: "test_each_commit_can_be_seen_again",
    JoinsThePresent: "test_training_frames_of_the_past",
    PeeksByAMicrosecond: "test_no_peeking_by_a_microsecond",
    RoundsInstants: "test_finer_instants_are_cut_off",
    SortsTheSpine: "test_one_row_out_per_spine_row_in",
    JoinsDistinctRows: "test_one_row_out_per_spine_row_in",
    DropsUnknownRows: "test_what_was_not_known_is_missing",
    OrdersFeaturesByName: "test_features_come_in_the_views_order",
    OverwritesTheSpine: "test_a_spine_must_say_who_and_when",
    PrefersTheFirstOfEquals: "test_the_newest_is_the_last_to_be_known",
    AnswersWhenClosed: "test_a_closed_store_says_so",
    HidesACapability: "test_capabilities_are_true",
}
