"""Writes to a store and its mirror through outages: nothing is lost or doubled, and both sides end up equal."""

from __future__ import annotations

from datetime import timedelta
from itertools import product
from pathlib import Path

import attrs
import numpy as np
import pytest

import btcfs_duckdb
from btcfs import memory
from btcfs.errors import AuthError, ConfigError, SchemaError, StoreBusy, StoreUnavailable
from btcfs.fallback import FallbackStore
from btcfs.fallback.breaker import Breaker
from btcfs.instants import now
from btcfs.store import Commit
from btcfs.testing.backends.comparing import assert_same
from btcfs.testing.backends.examples import candle_group, candles
from mirrored import GROUP, KEY, SHORT, VIEW, Pair, eventually, rows
from outages import Outage, ShortWhileHanging

pytest_plugins = ["mirrored"]


class TestWrites:
    def test_both_sides_get_the_same_commit(self, filled: Pair) -> None:
        """A write is on both sides under one name and time when it returns, and the journal is empty."""
        with filled.store() as store:
            report = store.write(GROUP, iter([rows(6, 1.0).iloc[:3], rows(6, 1.0).iloc[3:]]))
            assert (report.inserted, report.updated) == (2, 4)
            assert store.pending() == []
        filled.assert_equal()
        assert filled.contents[0].committed[GROUP.ref][-1].id == report.commit_id

    # A mirror, which is local, does not hang.
    @pytest.mark.parametrize(
        ("side", "mode"),
        [*product(["primary"], ["down", "hang", "mute", "late"]), *product(["mirror"], ["down", "mute"])],
    )
    def test_what_reached_one_side_is_completed(self, filled: Pair, side: str, mode: str) -> None:
        """Writes while one side is away, in whichever way, are there at once and on both sides after its return, in order."""
        outage: Outage = getattr(filled, side)
        with filled.store() as store:
            outage.mode = mode
            reports = [store.write(GROUP, rows(4 + n, float(n))) for n in range(3)]
            assert_same(store.read(GROUP), rows(6, 2.0))
            assert [report.changed for report in reports] == [4, 5, 6]
            waiting = [entry for entry in store.pending() if side in entry.sides]
            assert len(waiting) == 3
            outage.heal()
            assert store.sync().waiting == ()
            assert store.pending() == []
            assert_same(store.read(GROUP), rows(6, 2.0))
            assert "fallback_reason" not in store.read(GROUP).attrs
        filled.assert_equal()
        assert len(filled.contents[0].committed[GROUP.ref]) == 4

    def test_the_next_write_completes_the_journal_first(self, filled: Pair) -> None:
        """Once the primary is back, the next write brings the earlier ones there before itself."""
        with filled.store() as store:
            filled.primary.mode = "down"
            store.write(GROUP, rows(4, 1.0))
            filled.primary.heal()
            store.write(GROUP, rows(4, 2.0))
            assert store.pending() == []
        filled.assert_equal()

    def test_definitions_wait_as_rows_do(self, pair: Pair) -> None:
        """Groups, views, rows and deletions of an outage arrive in the order they were asked for."""
        other = candle_group("a", name="doomed")
        with pair.store() as store:
            pair.primary.mode = "down"
            store.apply(GROUP)
            store.apply(other)
            store.write(other, candles(other, 2))
            store.apply(VIEW)
            store.write(GROUP, rows(3, 1.0))
            store.delete(other)
            assert {d.name for d in store.definitions()} == {GROUP.name, VIEW.name}
            assert len(store.read(GROUP)) == 3
            pair.primary.heal()
            store.sync()
        pair.assert_equal()

    @pytest.mark.parametrize("error", [AuthError("no key"), SchemaError("not such"), StoreBusy("not now")])
    def test_what_the_primary_refuses_is_nowhere(self, filled: Pair, error: Exception) -> None:
        """A write that the primary refuses is raised; the mirror and the journal know nothing of it."""
        with filled.store() as store:
            filled.primary.modes = {"write": error}
            with pytest.raises(type(error)):
                store.write(GROUP, rows(5, 1.0))
            assert store.pending() == []
        filled.assert_equal()

    def test_a_write_that_neither_takes_is_refused(self, filled: Pair) -> None:
        """With the breaker open and the mirror away, the write is raised and forgotten."""
        with filled.store(breaker=lambda: Breaker(1, 60.0)) as store:
            filled.primary.mode = "down"
            store.write(GROUP, rows(5, 1.0))
            filled.mirror.modes = {"write": StoreBusy("another process writes")}
            with pytest.raises(StoreBusy):
                store.write(GROUP, rows(5, 2.0))
            assert len(store.pending()) == 1

    def test_a_write_of_unknown_fate_is_kept(self, filled: Pair) -> None:
        """If it may have reached the primary and the mirror fails, the error says that the journal has it, and it arrives."""
        with filled.store() as store:
            filled.primary.modes = {"write": "mute"}
            filled.mirror.modes = {"write": StoreBusy("another process writes")}
            with pytest.raises(StoreUnavailable, match="journal entry 1 and will be completed"):
                store.write(GROUP, rows(5, 1.0))
            filled.primary.heal()
            filled.mirror.heal()
            store.sync()
            assert_same(store.read(GROUP), rows(5, 1.0))
        filled.assert_equal()

    def test_the_mirror_says_when_it_is_behind(self, filled: Pair) -> None:
        """If both fail one after the other, the mirror's answer says how far it is behind."""
        with filled.store() as store:
            filled.mirror.modes = {"write": StoreBusy("another process writes")}
            store.write(GROUP, rows(4, 1.0))
            filled.primary.mode = "down"
            [vector] = store.get_online_features(VIEW, KEY)
            assert "the mirror is behind by 1 entries since" in str(vector.fallback_reason)
            with pytest.raises(StoreUnavailable, match="may lack"):
                store.get_online_features(VIEW, [{"symbol": "ETH-USD"}])

    def test_a_clock_ahead_decides(self, filled: Pair) -> None:
        """If the primary's newest commit is of the future, the next one is later still, on both sides."""
        ahead = Commit("ahead", now() + timedelta(hours=1))
        for contents in filled.contents:
            memory.connect(contents=contents).write(GROUP, rows(4, 1.0), commit=ahead)
        with filled.store() as store:
            report = store.write(GROUP, rows(4, 2.0))
            assert report.committed_at is not None
            assert report.committed_at > ahead.committed_at
        filled.assert_equal()

    def test_what_a_side_will_never_take_is_put_aside(self, filled: Pair) -> None:
        """A journalled write that the primary refuses on its return stops nothing, is kept, and can be tried again."""
        with filled.store() as store:
            filled.primary.mode = "down"
            store.write(GROUP, rows(4, 1.0))
            filled.primary.heal()
            foreign = memory.connect(contents=filled.contents[0])
            foreign.write(GROUP, rows(6, 9.0))  # by someone without the mirror, meanwhile
            report = store.sync()
            assert [entry.state for entry in report.refused] == ["refused"]
            assert "not later than the newest" in report.refused[0].why
            store.write(GROUP, rows(8, 3.0))
            assert [entry.state for entry in store.pending()] == ["refused"]
            assert store.sync(again=True).refused == ()
            assert store.pending() == []
            assert_same(foreign.read(GROUP).iloc[:4], rows(4, 1.0))

    def test_a_block_of_calls_runs_in_one_thread_of_the_primary(self, filled: Pair) -> None:
        """Inside exclusive the primary's own lock is held by the thread that writes; a hanging primary is let go later."""
        with filled.store() as store:
            with store.exclusive(), store.exclusive():
                assert store.read(GROUP).shape == (4, 4 + 1)
                store.write(GROUP, rows(5, 1.0))
            filled.primary.mode = "hang"
            with store.exclusive():
                store.write(GROUP, rows(5, 2.0))
            filled.primary.heal()
            store.sync()
            with store.exclusive():
                store.write(GROUP, rows(5, 3.0))
        filled.assert_equal()

    def test_a_hanging_write_is_waited_for_once(self, filled: Pair) -> None:
        """A write that misses its long deadline opens the circuit; while it is open, nobody waits that long again."""
        deadlines = ShortWhileHanging(filled.primary, attrs.evolve(SHORT, writes=1.0))
        with filled.store(breaker=lambda: Breaker(failures=3, rest=0.0), deadlines=deadlines) as store:
            filled.primary.mode = "hang"
            store.write(GROUP, rows(4, 1.0))
            asked = filled.primary.calls["write"]
            for n in range(2, 5):
                store.write(GROUP, rows(4, float(n)))
            assert filled.primary.calls["write"] == asked == 1
            filled.primary.heal()
            eventually(lambda: store.sync().waiting == ())
        filled.assert_equal()

    def test_two_stores_share_a_journal(self, filled: Pair) -> None:
        """What one store journalled, another reads from the mirror and completes."""
        with filled.store() as one, filled.store() as other:
            filled.primary.modes = {"write": "down"}
            one.write(GROUP, rows(4, 7.0))
            found = other.read(GROUP)
            assert_same(found, rows(4, 7.0))
            assert "lacks journal entry 1" in found.attrs["fallback_reason"]
            filled.primary.heal()
            eventually(lambda: "fallback_reason" not in other.read(GROUP).attrs)
            assert one.pending() == []
        filled.assert_equal()

    def test_a_journal_belongs_to_its_stores(self, filled: Pair) -> None:
        """The entries of one pair are never written to another."""
        with filled.store(), pytest.raises(ConfigError, match="belong to memory, mirrored in memory"):
            filled.store(target="another project")


def test_values_are_equal_by_construction(tmp_path: Path) -> None:
    """Every vector and training row of the mirror has the bits of the primary's, through restatements and outages."""
    contents = memory.Contents()
    primary = Outage(memory.connect(contents=contents))
    mirror = btcfs_duckdb.connect(tmp_path / "mirror")
    random = np.random.default_rng(5)
    with FallbackStore(
        primary,
        mirror,
        tmp_path / "journal",
        breaker=lambda: Breaker(1, 0.0),
        deadlines=ShortWhileHanging(primary, SHORT),
    ) as store:
        store.apply(GROUP)
        store.apply(VIEW)
        for step in range(12):
            primary.modes = {"write": random.choice(["up", "down", "mute"])}
            frame = candles(GROUP, int(random.integers(1, 30)), seed=step)
            store.write(GROUP, frame.assign(b=frame["b"].where(random.random(len(frame)) < 0.8)))
        primary.heal()
        store.sync()
        assert store.pending() == []
        spine = store.read(GROUP)[["symbol", "event_time"]]
        keys = store.read(GROUP)[["symbol", "timestamp"]].to_dict("records")
        for commit in store.commits(GROUP):
            at = commit.committed_at
            assert_same(primary.read(GROUP, as_of=at), mirror.read(GROUP, as_of=at))
        assert_same(primary.get_historical_features(VIEW, spine), mirror.get_historical_features(VIEW, spine))
        for one, other in zip(
            primary.get_online_features(VIEW, keys), mirror.get_online_features(VIEW, keys), strict=True
        ):
            assert one.values.tobytes() == other.values.tobytes()
            assert one.event_time == other.event_time
