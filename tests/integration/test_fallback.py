"""A store and its mirror through outages: nothing is lost, nothing is silent, and nobody waits beyond the deadline."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from threading import Timer
from typing import Any

import numpy as np
import pandas as pd
import pytest

import btcfs_duckdb
from btcfs import memory
from btcfs.errors import AuthError, ConfigError, DefinitionError, NotFound, SchemaError, StoreBusy, StoreUnavailable
from btcfs.fallback import FallbackStore
from btcfs.fallback.breaker import Breaker
from btcfs.fallback.primary import Deadlines
from btcfs.instants import now
from btcfs.store import Commit, FeatureStore
from btcfs.testing.backends.comparing import assert_same
from btcfs.testing.backends.examples import candle_group, candles, view_of
from outages import READS, Outage

GROUP = candle_group("a", "b", name="market")
VIEW = view_of(GROUP, name="market_view")
KEY = [{"symbol": "BTC-USD"}]
SHORT = Deadlines(vectors=0.2, definitions=0.2, frames=0.2, writes=0.2, opening=0.2)


class Pair:
    """A primary that can be taken away, its mirror, and stores over the two."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.contents = memory.Contents(), memory.Contents()
        self.primary = Outage(memory.connect(contents=self.contents[0]))
        self.mirror = Outage(memory.connect(contents=self.contents[1]))
        self.opened: list[FallbackStore] = []

    def store(self, **options: Any) -> FallbackStore:
        options = {"breaker": lambda: Breaker(failures=2, rest=0.0), "deadlines": SHORT, "patience": 5.0, **options}
        self.opened.append(FallbackStore(self.primary, self.mirror, self.folder / "journal", **options))
        return self.opened[-1]

    def assert_equal(self) -> None:
        """Both sides hold the same definitions, commits, and rows at every commit."""
        one, other = (memory.connect(contents=contents) for contents in self.contents)
        assert list(one.definitions()) == list(other.definitions())
        if GROUP not in one.definitions():
            return
        assert list(one.commits(GROUP)) == list(other.commits(GROUP))
        for commit in one.commits(GROUP):
            assert_same(one.read(GROUP, as_of=commit.committed_at), other.read(GROUP, as_of=commit.committed_at))


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    pair = Pair(tmp_path)
    yield pair
    pair.primary.heal()
    pair.mirror.heal()


@pytest.fixture
def filled(pair: Pair) -> Pair:
    with pair.store() as store:
        store.apply(GROUP)
        store.apply(VIEW)
        store.write(GROUP, candles(GROUP, 4))
    pair.primary = Outage(memory.connect(contents=pair.contents[0]))
    pair.mirror = Outage(memory.connect(contents=pair.contents[1]))
    return pair


def rows(count: int, value: float) -> pd.DataFrame:
    return candles(GROUP, count).assign(a=value)


def eventually(holds: Callable[[], bool]) -> None:
    """Wait for what another thread brings about."""
    deadline = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def reads(store: FeatureStore) -> dict[str, Callable[[], Any]]:
    spine = candles(GROUP, 4)[["symbol", "event_time"]]
    return {
        "definitions": store.definitions,
        "read": lambda: store.read(GROUP),
        "commits": lambda: store.commits(GROUP),
        "changes": lambda: store.changes(
            GROUP, Commit(store.commits(GROUP)[0].id, store.commits(GROUP)[0].committed_at)
        ),
        "summary": lambda: store.summary(GROUP),
        "get_historical_features": lambda: store.get_historical_features(VIEW, spine),
        "get_online_features": lambda: store.get_online_features(VIEW, KEY),
    }


def plain(answer: Any) -> Any:
    if isinstance(answer, pd.DataFrame):
        return answer.to_dict("list")
    if isinstance(answer, list) and answer and hasattr(answer[0], "values"):
        return [(v.values.tobytes(), v.event_time, v.fingerprint, dict(v.key)) for v in answer]
    return list(answer) if isinstance(answer, list) else answer


class TestReads:
    def test_the_primary_answers_while_it_can(self, filled: Pair) -> None:
        """Without an outage no read asks the mirror, and nothing speaks of a fallback."""
        with filled.store() as store:
            filled.mirror.calls.clear()
            for call in reads(store).values():
                call()
            [vector] = store.get_online_features(VIEW, KEY)

            assert vector.fallback_reason is None
            assert store.read(GROUP).attrs == {"feature_source": "memory"}
            assert set(filled.mirror.calls) == set()

    @pytest.mark.parametrize("mode", ["down", "hang"])
    def test_every_read_goes_on_through_an_outage(self, filled: Pair, mode: str) -> None:
        """Each read has the same answer from the mirror, whether the primary refuses or hangs."""
        with filled.store() as store:
            before = {name: plain(call()) for name, call in reads(store).items()}
            assert set(before) == set(READS)
            filled.primary.mode = mode

            for name, call in reads(store).items():
                assert plain(call()) == before[name], name

    def test_the_answer_says_where_it_comes_from(self, filled: Pair) -> None:
        """Vectors and frames of the mirror have source, reason and freshness, and only they."""
        with filled.store() as store:
            filled.mirror.name = "local"
            filled.primary.mode = "down"
            [vector] = store.get_online_features(VIEW, KEY)
            frame = store.read(GROUP)
            filled.primary.heal()
            eventually(lambda: store.get_online_features(VIEW, KEY)[0].fallback_reason is None)
            after = store.read(GROUP)

        assert vector.fallback_reason == "no route to the memory"
        newest = memory.connect(contents=filled.contents[1]).commits(GROUP)[-1].committed_at
        assert frame.attrs == {
            "feature_source": "local",
            "fallback_reason": "no route to the memory",
            "freshness": newest.isoformat(),
        }
        assert after.attrs == {"feature_source": "memory"}

    def test_a_hanging_primary_holds_nobody_beyond_the_deadline(self, filled: Pair) -> None:
        """However many calls hang, each reader has the mirror's answer soon after its deadline, and at once later on."""
        with filled.store(breaker=lambda: Breaker(failures=2, rest=60.0)) as store:
            filled.primary.mode = "hang"
            began = time.monotonic()
            for _ in range(2):
                store.get_online_features(VIEW, KEY)
            taken = time.monotonic() - began
            asked = filled.primary.calls["get_online_features"]
            for _ in range(50):
                store.get_online_features(VIEW, KEY)

            assert taken < 2 * SHORT.vectors + 2.0
            assert filled.primary.calls["get_online_features"] == asked == 2
            assert store.circuits()["vectors"] == "open"
            assert store.circuits()["frames"] == "closed"

    @pytest.mark.parametrize(
        "error", [AuthError("no key"), NotFound("no row"), SchemaError("no"), DefinitionError("no"), StoreBusy("no")]
    )
    def test_other_errors_are_the_answer(self, filled: Pair, error: Exception) -> None:
        """What the primary refuses is raised, is never answered from the mirror, and opens no breaker."""
        with filled.store() as store:
            filled.primary.mode = error
            filled.mirror.calls.clear()
            for name, call in reads(store).items():
                for _ in range(3):
                    with pytest.raises(type(error)):
                        pytest.fail(f"{name} gave {call()}")
            assert sum(filled.mirror.calls.values()) == 0
            assert set(store.circuits().values()) == {"closed"}

    def test_no_mirror_no_answer(self, filled: Pair) -> None:
        """When both are away, StoreUnavailable names both reasons."""
        with filled.store() as store:
            filled.primary.mode = "down"
            filled.mirror.modes = {"read": StoreUnavailable("disk gone")}
            with pytest.raises(StoreUnavailable, match=r"no route to the memory; the mirror .*disk gone"):
                store.read(GROUP)

    def test_a_missing_row_is_only_missing_where_the_mirror_is_whole(self, filled: Pair) -> None:
        """NotFound is the mirror's to say while it lacks nothing; else the store is unavailable."""
        with filled.store() as store:
            filled.primary.mode = "down"
            with pytest.raises(NotFound):
                store.get_online_features(VIEW, [{"symbol": "ETH-USD"}])
            other = candle_group("a", name="elsewhere")
            filled.primary.store.apply(other)
            with pytest.raises(StoreUnavailable):
                store.summary(other)

    def test_the_primary_may_be_away_at_the_start(self, filled: Pair) -> None:
        """A primary that cannot be opened is opened when it can be; what its opener refuses otherwise is raised."""
        inner, up = filled.primary, False

        def opener() -> FeatureStore:
            if not up:
                raise StoreUnavailable("no network")
            return inner

        options: dict[str, Any] = {"breaker": lambda: Breaker(1, 0.0), "deadlines": SHORT, "name": "distant"}
        with FallbackStore(opener, filled.mirror, filled.folder / "other", **options) as store:
            assert "no network" in str(store.get_online_features(VIEW, KEY)[0].fallback_reason)
            up = True
            eventually(lambda: store.get_online_features(VIEW, KEY)[0].fallback_reason is None)

        def refuses() -> FeatureStore:
            raise AuthError("wrong key")

        with pytest.raises(AuthError):
            FallbackStore(refuses, filled.mirror, filled.folder / "third", **options)

    def test_a_lost_session_is_opened_anew(self, filled: Pair) -> None:
        """A store that stays unavailable after a probe is closed and opened again by its opener."""
        opened: list[Outage] = []

        def opener() -> FeatureStore:
            opened.append(Outage(memory.connect(contents=filled.contents[0])))
            return opened[-1]

        with FallbackStore(
            opener,
            filled.mirror,
            filled.folder / "journal",
            name="memory",
            breaker=lambda: Breaker(1, 0.0),
            deadlines=SHORT,
        ) as store:
            opened[0].mode = "down"
            eventually(lambda: store.get_online_features(VIEW, KEY)[0].fallback_reason is None)
        assert len(opened) == 2

    def test_a_hedged_vector_comes_from_the_mirror(self, filled: Pair) -> None:
        """With a hedge, a slow primary is not waited for, and its late answer still counts as none failed."""
        with filled.store(deadlines=Deadlines(vectors=30.0, hedge=0.02)) as store:
            filled.primary.modes = {"get_online_features": "late"}
            [vector] = store.get_online_features(VIEW, KEY)
            assert vector.fallback_reason == "memory had not answered after 0.02 s"
            filled.mirror.mode = "down"
            Timer(0.1, filled.primary.heal).start()
            [vector] = store.get_online_features(VIEW, KEY)
            assert vector.fallback_reason is None


class TestWrites:
    def test_both_sides_get_the_same_commit(self, filled: Pair) -> None:
        """A write is on both sides under one name and time when it returns, and the journal is empty."""
        with filled.store() as store:
            report = store.write(GROUP, iter([rows(6, 1.0).iloc[:3], rows(6, 1.0).iloc[3:]]))
            assert (report.inserted, report.updated) == (2, 4)
            assert store.pending() == []
        filled.assert_equal()
        assert filled.contents[0].committed[GROUP.ref][-1].id == report.commit_id

    @pytest.mark.parametrize("mode", ["down", "hang", "mute", "late"])
    @pytest.mark.parametrize("side", ["primary", "mirror"])
    def test_what_reached_one_side_is_completed(self, filled: Pair, side: str, mode: str) -> None:
        """Writes while one side is away, in whichever way, are there at once and on both sides after its return, in order."""
        if side == "mirror" and mode in ("hang", "late"):
            pytest.skip("a local mirror does not hang; only the primary has deadlines")
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
        deadlines = Deadlines(vectors=0.2, definitions=0.2, frames=0.2, writes=1.0, opening=0.2)
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


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_child_asks_the_primary(filled: Pair) -> None:
    """A child has none of its parent's threads and makes its own."""
    with filled.store() as store:
        store.get_online_features(VIEW, KEY)
        child = os.fork()
        if child == 0:
            answered = False
            try:
                answered = store.get_online_features(VIEW, KEY)[0].fallback_reason is None
            finally:
                os._exit(0 if answered else 1)
        assert os.waitpid(child, 0)[1] == 0


def test_values_are_equal_by_construction(tmp_path: Path) -> None:
    """Every vector and training row of the mirror has the bits of the primary's, through restatements and outages."""
    contents = memory.Contents()
    primary = Outage(memory.connect(contents=contents))
    mirror = btcfs_duckdb.connect(tmp_path / "mirror")
    random = np.random.default_rng(5)
    with FallbackStore(
        primary, mirror, tmp_path / "journal", breaker=lambda: Breaker(1, 0.0), deadlines=SHORT
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
