"""Reads of a store and its mirror through outages: none fails, none is silent, and nobody waits beyond the deadline."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from threading import Timer
from typing import Any

import pandas as pd
import pytest

from btcfs import memory
from btcfs.errors import AuthError, DefinitionError, NotFound, SchemaError, StoreBusy, StoreUnavailable
from btcfs.fallback import FallbackStore
from btcfs.fallback.breaker import Breaker
from btcfs.fallback.primary import Deadlines
from btcfs.store import Commit, FeatureStore
from btcfs.testing.backends.examples import candle_group, candles
from mirrored import GROUP, KEY, SHORT, VIEW, Pair, eventually
from outages import READS, Outage

pytest_plugins = ["mirrored"]


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

        options: dict[str, Any] = {"breaker": lambda: Breaker(1, 0.0), "name": "distant"}
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
