"""The laws of knowledge time: nothing superseded is lost, and each commit can be seen again."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from btcfs.errors import SchemaError
from btcfs.store import Capability, FeatureStore
from btcfs.testing.backends.comparing import assert_same, naive_join
from btcfs.testing.backends.examples import (
    HOUR,
    MICROSECOND,
    START,
    candle_group,
    candles,
    committed,
    event_group,
    put,
    rows,
    view_of,
)
from btcfs.testing.backends.kit import Kit, OpenStore, needs


class HistoryLaws(Kit):
    """``as_of``."""

    @needs(Capability.TIME_TRAVEL, Capability.SCAN)
    def test_each_commit_can_be_seen_again(self, store: FeatureStore, open_store: OpenStore) -> None:
        """As of its instant a commit counts, a microsecond before it does not; a later opener sees the same."""
        group = candle_group()
        states = []
        store.apply(group)
        for n in range(5):
            report = store.write(group, candles(group, 2 + n).iloc[n // 2 :].assign(a=float(n)))
            states.append((committed(report), store.read(group)))

        with open_store() as later:
            for each in (store, later):
                before = candles(group, 0)
                for instant, state in states:
                    assert_same(each.read(group, as_of=instant - MICROSECOND), before)
                    assert_same(each.read(group, as_of=instant), state)
                    before = state
                assert_same(each.read(group, as_of=instant + timedelta(days=365)), state)
                assert_same(each.read(group), state)

    @needs(Capability.TIME_TRAVEL, Capability.SCAN)
    def test_before_the_first_commit_nothing_was_known(self, store: FeatureStore) -> None:
        """The past of a group begins empty, whatever the event times of its rows."""
        group = candle_group()
        instant = committed(put(store, group, candles(group, 3)))

        assert len(store.read(group, as_of=START + timedelta(days=1))) == 0
        assert len(store.read(group, as_of=instant)) == 3
        with pytest.raises(SchemaError):
            store.read(group, as_of=instant.replace(tzinfo=None))

    @needs(Capability.TIME_TRAVEL, Capability.SCAN)
    def test_the_past_is_read_like_the_present(self, store: FeatureStore) -> None:
        """Range, entity and columns choose from what was known then, by the event times known then."""
        group = event_group("a", "b")
        first = put(
            store,
            group,
            rows(
                group,
                ("X", START, START, 1.0, 2.0),
                ("X", START + HOUR, START + HOUR, 3.0, 4.0),
                ("Y", START, START, 5.0, 6.0),
            ),
        )
        store.write(group, rows(group, ("X", START, START + 9 * HOUR, 7.0, 8.0), ("Y", START, START, 9.0, 9.0)))

        def found(as_of: datetime | None) -> list[float]:
            frame = store.read(group, START, START + 5 * HOUR, entity={"symbol": "X"}, columns=["b", "a"], as_of=as_of)
            return [float(value) for value in frame.to_numpy().ravel()]

        assert found(first.committed_at) == [2.0, 1.0, 4.0, 3.0]
        assert found(None) == [4.0, 3.0]

    @needs(Capability.TIME_TRAVEL, Capability.SCAN)
    def test_groups_have_one_clock(self, store: FeatureStore) -> None:
        """The instant of one group's commit parts the commits of every other into before and after."""
        one, two = candle_group(), candle_group()
        put(store, one, candles(one, 1))
        put(store, two, candles(two, 1))
        between = store.write(one, candles(one, 2)).committed_at
        store.write(two, candles(two, 2))

        assert len(store.read(two, as_of=between)) == 1
        assert len(store.read(one, as_of=between)) == 2

    @needs(Capability.TIME_TRAVEL)
    def test_training_frames_of_the_past(self, store: FeatureStore) -> None:
        """A join as of an instant uses the rows known then, in every group of the view."""
        hourly, daily = candle_group("a"), candle_group("b", interval="1d")
        view = view_of(hourly, daily)
        tables = [candles(hourly, 60), candles(daily, 2)]
        put(store, hourly, tables[0])
        last = put(store, daily, tables[1])
        store.apply(view)
        store.write(hourly, tables[0].assign(a=0.0))
        store.write(daily, tables[1].assign(b=0.0))
        spine = tables[0][["symbol", "event_time"]].iloc[::7]

        then = store.get_historical_features(view, spine, as_of=last.committed_at)
        assert_same(then, naive_join(view, spine, [(hourly, tables[0]), (daily, tables[1])]))
        newest = store.get_historical_features(view, spine)
        assert_same(
            newest, naive_join(view, spine, [(hourly, tables[0].assign(a=0.0)), (daily, tables[1].assign(b=0.0))])
        )
        never = store.get_historical_features(view, spine, as_of=START)
        assert never[["a", "b"]].isna().all(axis=None)
        with pytest.raises(SchemaError):
            store.get_historical_features(view, spine, as_of=START.replace(tzinfo=None))

    @needs(Capability.TIME_TRAVEL, Capability.SCAN)
    def test_a_write_that_changes_nothing_leaves_no_trace(self, store: FeatureStore) -> None:
        """The row that was equal keeps the instant at which it became known."""
        group = candle_group()
        first = put(store, group, candles(group, 2))
        store.write(group, candles(group, 3))

        assert_same(store.read(group, as_of=first.committed_at), candles(group, 2))
