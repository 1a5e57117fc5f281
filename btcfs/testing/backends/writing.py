"""The laws of writing: what is inserted, superseded and left alone, in one commit, truly reported."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timezone
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

from btcfs.definitions import Feature
from btcfs.errors import SchemaError
from btcfs.store import Capability, FeatureStore
from btcfs.testing.backends.comparing import assert_same
from btcfs.testing.backends.examples import HOUR, START, candle_group, candles, event_group, put, rows
from btcfs.testing.backends.kit import Kit, needs


class WritingLaws(Kit):
    """``write`` and its report."""

    @needs(Capability.SCAN)
    def test_written_rows_are_read(self, store: FeatureStore) -> None:
        """When write returns, the rows are there, whatever order of rows and columns they came in."""
        group = candle_group()
        frame = candles(group, 5)
        put(store, group, frame.iloc[[3, 0, 4, 1, 2]][["b", "timestamp", "a", "symbol"]])

        assert_same(store.read(group), frame)

    @needs()
    def test_the_report_of_a_first_write(self, store: FeatureStore) -> None:
        """The report names the group, counts the rows and gives the first and last event time."""
        group = candle_group(version=3)
        report = put(store, group, candles(group, 5))

        assert (report.group, report.version) == (group.name, 3)
        assert (report.inserted, report.updated, report.unchanged, report.changed) == (5, 0, 0, 5)
        assert (report.start, report.end) == (START + HOUR, START + 5 * HOUR)
        assert isinstance(report.commit_id, str)
        assert report.commit_id
        assert isinstance(report.committed_at, datetime)
        assert report.committed_at.utcoffset() == timezone.utc.utcoffset(None)

    @needs(Capability.SCAN)
    def test_the_last_write_wins(self, store: FeatureStore) -> None:
        """A corrected row replaces the first one, and no other."""
        group = candle_group()
        first = candles(group, 5)
        put(store, group, first)
        report = store.write(group, first.iloc[[2]].assign(a=1.0))

        assert (report.inserted, report.updated, report.unchanged) == (0, 1, 0)
        assert (report.start, report.end) == (START + 3 * HOUR, START + 3 * HOUR)
        expected = first.copy()
        expected.loc[2, "a"] = 1.0
        assert_same(store.read(group), expected)

    @needs(Capability.SCAN)
    def test_equal_content_is_left_alone(self, store: FeatureStore) -> None:
        """Writing what is there commits nothing: all rows are unchanged and there is no commit id."""
        group = candle_group()
        put(store, group, candles(group, 5))
        report = store.write(group, candles(group, 5))

        assert (report.inserted, report.updated, report.unchanged, report.changed) == (0, 0, 5, 0)
        assert (report.commit_id, report.committed_at) == (None, None)
        assert (report.start, report.end) == (START + HOUR, START + 5 * HOUR)
        assert_same(store.read(group), candles(group, 5))

    @needs(Capability.SCAN)
    def test_one_write_may_do_all_three(self, store: FeatureStore) -> None:
        """New, other and equal rows in one write are counted each as what they are."""
        group = candle_group()
        first = candles(group, 4)
        put(store, group, first)
        second = candles(group, 6)
        second.loc[1:2, "b"] = [7.0, 8.0]
        report = store.write(group, second)

        assert (report.inserted, report.updated, report.unchanged) == (2, 2, 2)
        assert_same(store.read(group), second)

    @needs(Capability.SCAN)
    def test_going_back_is_a_change(self, store: FeatureStore) -> None:
        """Rows are compared with the newest state, not with any earlier one."""
        group = candle_group()
        first = candles(group, 2)
        put(store, group, first)
        store.write(group, first.assign(a=0.0))
        report = store.write(group, first)

        assert (report.inserted, report.updated, report.unchanged) == (0, 2, 0)
        assert_same(store.read(group), first)

    @needs()
    def test_missing_equals_missing(self, store: FeatureStore) -> None:
        """A row with NaN, None and NaT written again is unchanged."""
        group = candle_group("a", Feature("text", "string"), Feature("seen", "timestamp"))
        frame = rows(group, ("X", START, START + HOUR, np.nan, None, None))
        put(store, group, frame)
        report = store.write(group, frame)

        assert (report.inserted, report.updated, report.unchanged) == (0, 0, 1)

    @needs(Capability.SCAN)
    def test_the_smallest_change_is_a_change(self, store: FeatureStore) -> None:
        """One bit of a float, one microsecond, one character, one unit: each is an update, of its row alone."""
        group = event_group(
            "a", Feature("n", "int64"), Feature("up", "bool"), Feature("text", "string"), Feature("seen", "timestamp")
        )
        plain = {"event_time": START, "a": 0.0, "n": 2**53, "up": True, "text": "é", "seen": START}
        tick = pd.Timedelta(1, "us")
        changes = [
            ("a", 0.0, 5e-324), ("a", 5e-324, np.nan), ("a", np.nan, 1.0), ("a", 1.0, np.nextafter(1.0, 2.0)),
            ("n", 2**53, 2**53 + 1), ("up", True, False),
            ("text", "é", "e\u0301"), ("text", "e\u0301", None), ("text", None, ""),
            ("seen", START, START + tick), ("seen", START + tick, None), ("event_time", START, START + tick),
            ("a", 0.0, 0.0),
        ]  # fmt: skip

        def all_rows(place: int) -> pd.DataFrame:
            """A row for each change, before it or after it."""
            values = [{**plain, change[0]: change[place]} for change in changes]
            names = group.columns[2:]
            return rows(group, *[(f"{n:02}", START, *map(row.get, names)) for n, row in enumerate(values)])

        put(store, group, all_rows(1))
        report = store.write(group, all_rows(2))

        assert (report.inserted, report.updated, report.unchanged) == (0, len(changes) - 1, 1)
        assert_same(store.read(group), all_rows(2))

    @needs(Capability.SCAN)
    def test_zero_has_no_sign(self, store: FeatureStore) -> None:
        """-0.0 is stored as 0.0, and writing the other zero changes nothing."""
        group = candle_group("a")
        put(store, group, rows(group, ("X", START, START + HOUR, -0.0)))
        report = store.write(group, rows(group, ("X", START, START + HOUR, 0.0)))

        assert (report.inserted, report.updated, report.unchanged) == (0, 0, 1)
        assert not np.signbit(store.read(group)["a"].iloc[0])

    @needs()
    def test_commits_are_in_order(self, store: FeatureStore) -> None:
        """Commit ids and instants of later commits are greater, over groups too."""
        groups = [candle_group(), candle_group()]
        reports = [put(store, groups[n % 2], candles(groups[n % 2], 1, seed=n)) for n in range(6)]
        ids = [report.commit_id or "" for report in reports]
        times = [report.committed_at for report in reports]

        assert ids == sorted(set(ids))
        assert all(one is not None and two is not None and one < two for one, two in pairwise(times))

    @needs()
    def test_nothing_is_a_write_of_nothing(self, store: FeatureStore) -> None:
        """A frame without rows, and a stream without frames, commit nothing and have no range."""
        group = candle_group()
        store.apply(group)

        for nothing in (candles(group, 0), iter([]), iter([candles(group, 0), candles(group, 0)])):
            report = store.write(group, nothing)
            assert (report.changed, report.unchanged, report.commit_id) == (0, 0, None)
            assert (report.committed_at, report.start, report.end) == (None, None, None)
        assert store.summary(group).rows == 0

    @needs(Capability.SCAN)
    def test_a_stream_is_one_commit(self, store: FeatureStore) -> None:
        """Frames of one stream are counted together and are there together, in whatever order they came."""
        group = candle_group()
        frame = candles(group, 9)
        put(store, group, frame.iloc[:2])
        report = store.write(group, iter([frame.iloc[6:], frame.iloc[0:0], frame.iloc[:3], frame.iloc[3:6]]))

        assert (report.inserted, report.updated, report.unchanged) == (7, 0, 2)
        assert (report.start, report.end) == (START + HOUR, START + 9 * HOUR)
        assert_same(store.read(group), frame)

    @needs(Capability.SCAN)
    def test_a_stream_that_breaks_leaves_nothing(self, store: FeatureStore) -> None:
        """If a later frame fails to come or to fit, nothing of the stream is visible, and the cause is raised."""
        group = candle_group()
        frame = candles(group, 9)
        put(store, group, frame.iloc[:2])

        def breaking() -> Iterator[pd.DataFrame]:
            yield frame.iloc[0:4].assign(a=0.0)
            raise ValueError("the source broke")

        with pytest.raises(ValueError, match="the source broke"):
            store.write(group, breaking())
        with pytest.raises(SchemaError):
            store.write(group, iter([frame.iloc[2:4], frame.iloc[4:6].drop(columns="b")]))
        assert_same(store.read(group), frame.iloc[:2])
        report = store.write(group, iter([frame.iloc[:4], frame.iloc[4:]]))
        assert (report.inserted, report.updated, report.unchanged) == (7, 0, 2)
        assert_same(store.read(group), frame)

    @needs(Capability.SCAN)
    def test_a_key_stands_once_in_a_stream(self, store: FeatureStore) -> None:
        """A key in two frames of one stream is refused, equal or not, stored or not, and nothing is written."""
        group = candle_group()
        frame = candles(group, 6)
        put(store, group, frame.iloc[:2])

        for first, second in (
            (frame[2:5], frame[4:6]),
            (frame[:3], frame[1:2]),
            (frame[4:6], frame[4:6].assign(a=0.0)),
        ):
            with pytest.raises(SchemaError):
                store.write(group, iter([first, second]))
            assert_same(store.read(group), frame.iloc[:2])

    @needs(Capability.SCAN)
    def test_frames_given_are_not_touched(self, store: FeatureStore) -> None:
        """A write changes no frame it is given, and a frame changed afterwards changes no store."""
        group = candle_group()
        frame = candles(group, 4).drop(columns="event_time")
        frame.index = pd.Index([4, 4, 2, 1])
        before = frame.copy(deep=True)
        put(store, group, frame)
        assert_same(frame, before)
        frame["a"] = 0.0
        frame.iloc[0, frame.columns.get_loc("b")] = -1.0

        assert_same(store.read(group), candles(group, 4))

    @needs(Capability.SCAN)
    def test_times_of_any_zone_are_stored_in_utc(self, store: FeatureStore) -> None:
        """An instant is the same instant in every zone, and one key."""
        group = candle_group()
        frame = candles(group, 3)
        put(store, group, frame)
        local = frame.assign(timestamp=frame["timestamp"].dt.tz_convert("America/New_York"))
        report = store.write(group, local.drop(columns="event_time"))

        assert report.unchanged == 3
        assert_same(store.read(group), frame)
