"""The laws of commits: each can be listed and taken out, and written elsewhere under its own name and time."""

from __future__ import annotations

from datetime import timedelta

import attrs
import pytest

from btcfs.definitions import FeatureGroup
from btcfs.errors import NotFound, SchemaError
from btcfs.store import Capability, Commit, FeatureStore
from btcfs.testing.backends.comparing import assert_reckoned, assert_same, naive_join
from btcfs.testing.backends.examples import (
    DAY,
    MICROSECOND,
    START,
    candle_group,
    candles,
    committed,
    put,
    unique,
    view_of,
)
from btcfs.testing.backends.kit import Kit, OpenStore, needs

PAST = Commit("from-elsewhere-1", START + 40 * DAY)


def later(commit: Commit, name: str = "from-elsewhere-2") -> Commit:
    return Commit(name, commit.committed_at + MICROSECOND)


def renamed(group: FeatureGroup) -> FeatureGroup:
    return attrs.evolve(group, name=unique("copy"))


class CommitLaws(Kit):
    """``commits``, ``changes`` and ``write(..., commit=)``."""

    @needs(Capability.TIME_TRAVEL)
    def test_each_commit_is_listed_with_its_rows(self, store: FeatureStore, open_store: OpenStore) -> None:
        """A commit has the name and time of its report, and the rows that it changed as it left them."""
        group = candle_group()
        store.apply(group)
        assert list(store.commits(group)) == []
        first = store.write(group, candles(group, 4))
        store.write(group, candles(group, 3))
        again = candles(group, 5).assign(a=[9.0, *candles(group, 5)["a"][1:]])
        second = store.write(group, again)

        expected = [Commit(r.commit_id or "", committed(r)) for r in (first, second)]
        with open_store() as other:
            for each in (store, other):
                assert list(each.commits(group)) == expected
                assert_same(each.changes(group, expected[0]), candles(group, 4))
                assert_same(each.changes(group, expected[1]), again.iloc[[0, 4]].reset_index(drop=True))
                assert [commit.rows for commit in each.commits(group)] in ([4, 2], [None, None])
                with pytest.raises(NotFound, match="nowhere"):
                    each.changes(group, Commit("nowhere", START))
        with pytest.raises(NotFound, match="no_such"):
            store.commits(attrs.evolve(group, name="no_such"))

    @needs(Capability.TIME_TRAVEL, Capability.SCAN)
    def test_a_copy_commit_by_commit_has_the_same_past(self, store: FeatureStore) -> None:
        """Commits written elsewhere in order give the same rows at every instant, and the same commits."""
        group = candle_group()
        store.apply(group)
        for n in range(4):
            store.write(group, candles(group, 2 + n).iloc[n // 2 :].assign(a=float(n)))
        copy = renamed(group)
        store.apply(copy)
        for commit in store.commits(group):
            report = store.write(copy, store.changes(group, commit), commit=commit)
            assert (report.commit_id, report.committed_at) == (commit.id, commit.committed_at)

        assert list(store.commits(copy)) == list(store.commits(group))
        for commit in store.commits(group):
            for instant in (commit.committed_at - MICROSECOND, commit.committed_at):
                assert_same(store.read(copy, as_of=instant), store.read(group, as_of=instant))
        assert_same(store.read(copy), store.read(group))

    @needs(Capability.TIME_TRAVEL)
    def test_the_changes_of_a_range(self, store: FeatureStore) -> None:
        """Changes can be had in pieces of event time, half-open, so that a large commit needs no large memory."""
        group = candle_group()
        store.apply(group)
        store.write(group, candles(group, 6))
        store.write(group, candles(group, 8).assign(a=1.0))
        first, second = store.commits(group)
        times = candles(group, 8)["event_time"]
        low, high = times[2].to_pydatetime(), times[5].to_pydatetime()

        for commit, rows in ((first, candles(group, 6)), (second, candles(group, 8).assign(a=1.0))):
            assert_same(store.changes(group, commit, low, high), rows.iloc[2:5].reset_index(drop=True))
            assert_same(store.changes(group, commit, None, low), rows.iloc[:2].reset_index(drop=True))
            assert_same(store.changes(group, commit, high), rows.iloc[5:].reset_index(drop=True))
            for start, end in ((None, None), (low, high), (None, low), (high, None)):
                assert_reckoned(store, group, commit, start, end)

    @needs(Capability.TIME_TRAVEL, Capability.SCAN)
    def test_a_commit_may_be_written_in_pieces(self, store: FeatureStore) -> None:
        """Writes under the newest commit's name and time add to it; what is there already changes nothing."""
        group = candle_group()
        store.apply(group)
        whole = candles(group, 6)
        for piece in (whole.iloc[:3], whole.iloc[:3], whole.iloc[2:5].assign(a=1.0), whole):
            store.write(group, piece, commit=PAST)
            assert_reckoned(store, group, PAST)
        assert store.write(group, whole, commit=PAST).commit_id is None

        assert list(store.commits(group)) == [PAST]
        assert_same(store.changes(group, PAST), whole)
        assert_same(store.read(group, as_of=PAST.committed_at), whole)
        assert len(store.read(group, as_of=PAST.committed_at - MICROSECOND)) == 0

    @needs(Capability.TIME_TRAVEL, Capability.SCAN)
    def test_commits_come_oldest_first(self, store: FeatureStore) -> None:
        """A commit before the newest, or of its name but another time, is refused and nothing is written."""
        group = candle_group()
        put(store, group, candles(group, 0))
        store.write(group, candles(group, 2), commit=PAST)
        store.write(group, candles(group, 2).assign(a=1.0), commit=later(PAST))
        before = store.read(group)
        for wrong in (
            PAST,
            Commit("other", PAST.committed_at),
            Commit("other", later(PAST).committed_at),
            later(later(PAST)),
            Commit("", START + 50 * DAY),
            Commit("naive", (START + 50 * DAY).replace(tzinfo=None)),
        ):
            with pytest.raises(SchemaError):
                pytest.fail(f"{wrong} was accepted: {store.write(group, candles(group, 3), commit=wrong)}")

        assert_same(store.read(group), before)
        assert list(store.commits(group)) == [PAST, later(PAST)]

    @needs(Capability.TIME_TRAVEL, Capability.SCAN)
    def test_own_commits_go_on_after_a_copy(self, store: FeatureStore) -> None:
        """After a commit of elsewhere, even one of the future, the store's own are later still."""
        group = candle_group()
        store.apply(group)
        ahead = Commit("ahead", committed(put(store, candle_group(), candles(candle_group(), 1))) + timedelta(hours=1))
        store.write(group, candles(group, 1), commit=ahead)
        own = store.write(group, candles(group, 2))

        assert committed(own) > ahead.committed_at
        assert_same(store.read(group, as_of=ahead.committed_at), candles(group, 1))
        assert_same(store.read(group, as_of=own.committed_at), candles(group, 2))

    @needs(Capability.TIME_TRAVEL)
    def test_a_join_of_the_past_sees_copies_at_their_own_time(self, store: FeatureStore) -> None:
        """As of an instant, a group that was copied later counts with the commits it had by then."""
        own, copied = candle_group("a"), candle_group("b")
        tables = [candles(own, 8), candles(copied, 8, seed=1)]
        view = view_of(own, copied)
        known = committed(put(store, own, tables[0]))
        put(store, copied, candles(copied, 0))
        store.write(copied, tables[1], commit=PAST)
        store.write(copied, tables[1].assign(b=0.0), commit=Commit("late", known + MICROSECOND))
        store.apply(view)
        spine = tables[0][["symbol", "event_time"]]

        then = store.get_historical_features(view, spine, as_of=known)
        assert_same(then, naive_join(view, spine, [(own, tables[0]), (copied, tables[1])]))
