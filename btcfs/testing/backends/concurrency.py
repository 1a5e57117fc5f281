"""The laws of threads: readers see whole commits while others write, and writers lose nothing."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from threading import Event
from typing import Any

import pandas as pd

from btcfs.errors import StoreBusy
from btcfs.store import Capability, FeatureStore
from btcfs.testing.backends.comparing import assert_same, vector
from btcfs.testing.backends.examples import candle_group, candles, put, view_of
from btcfs.testing.backends.kit import Kit, OpenStore, needs

COMMITS = 6
PATIENCE = 5.0  # for what takes milliseconds


def watched(store: FeatureStore, look: Callable[[], list[float]], write: Callable[[int], Any]) -> list[list[float]]:
    """What two readers saw, look by look, while commits 1 to 6 were written; each sees the last one too."""
    done = Event()

    def reader() -> list[list[float]]:
        seen = []
        # A look that finds all in memory never lets go of the interpreter, and the writer needs it again and again.
        while not done.wait(0.0002):
            seen.append(look())
        return [*seen, look()]

    with ThreadPoolExecutor(2) as pool:
        readers = [pool.submit(reader) for _ in range(2)]
        try:
            for commit in range(1, COMMITS + 1):
                write(commit)
        finally:
            done.set()
        looks = [future.result() for future in readers]
    for seen in looks:
        newest = [max(values) for values in seen]
        assert newest == sorted(newest), "a reader saw an older state after a newer one"
        assert newest[-1] == COMMITS
    return [values for seen in looks for values in seen]


class ConcurrencyLaws(Kit):
    """One store, several threads."""

    @needs(Capability.SCAN)
    def test_readers_see_whole_commits(self, store: FeatureStore) -> None:
        """While commits replace all rows by one value each, every read shows one value, and never goes back."""
        group = candle_group("a")
        frame = candles(group, 20)
        put(store, group, frame.assign(a=0.0))

        def write(commit: int) -> None:
            store.write(group, iter([frame.iloc[:10].assign(a=float(commit)), frame.iloc[10:].assign(a=float(commit))]))

        for values in watched(store, lambda: list(store.read(group)["a"]), write):
            assert len(values) == 20
            assert len(set(values)) == 1

    @needs()
    def test_joins_see_whole_commits(self, store: FeatureStore) -> None:
        """The same holds for training frames."""
        group = candle_group("a")
        frame = candles(group, 20)
        put(store, group, frame.assign(a=0.0))
        view = view_of(group)
        store.apply(view)
        spine = frame[["symbol", "event_time"]]

        def look() -> list[float]:
            return list(store.get_historical_features(view, spine)["a"])

        for values in watched(store, look, lambda commit: store.write(group, frame.assign(a=float(commit)))):
            assert len(set(values)) == 1

    @needs(Capability.ONLINE)
    def test_vectors_are_whole(self, store: FeatureStore) -> None:
        """The same holds for the values of one vector."""
        group = candle_group(*(f"f_{n}" for n in range(30)))
        view = view_of(group)
        frame = candles(group, 2)
        store.apply(group)
        store.apply(view)

        def write(commit: int) -> None:
            store.write(group, frame.assign(**{name: float(commit) for name in group.feature_names}))

        write(0)
        for values in watched(store, lambda: vector(store, view, symbol="BTC-USD").values.tolist(), write):
            assert len(set(values)) == 1

    @needs()
    def test_exclusive_keeps_other_writers_out(self, store: FeatureStore, open_store: OpenStore) -> None:
        """In an exclusive block, which may nest, its thread writes, and no other thread or store commits until it ends."""
        group = candle_group("a")
        frame = candles(group, 3)
        put(store, group, frame.iloc[:1])
        with open_store() as other, ThreadPoolExecutor(2) as pool:
            with store.exclusive():
                with store.exclusive():
                    store.write(group, frame.iloc[:2])
                blocked = [pool.submit(each.write, group, frame.assign(a=n)) for n, each in enumerate((store, other))]
                wait(blocked, timeout=0.2)
                assert store.summary(group).rows == 2
                inside = store.write(group, frame.iloc[:2])
            errors = [future.exception() for future in blocked]
            after = [future.result() for future, error in zip(blocked, errors, strict=True) if error is None]

        assert inside.unchanged == 2
        assert all(error is None or isinstance(error, StoreBusy) for error in errors)
        assert sorted(report.inserted for report in after) in ([], [1], [0, 1])

    @needs(Capability.SCAN)
    def test_exclusive_lets_others_read(self, store: FeatureStore) -> None:
        """In an exclusive block another thread reads, also what was committed in it: a copy reads back in one."""
        group = candle_group("a")
        put(store, group, candles(group, 2))
        with ThreadPoolExecutor(1) as pool, store.exclusive():
            store.write(group, candles(group, 3))
            read = pool.submit(store.read, group)
            wait([read], timeout=PATIENCE)
            inside = read.done()

        assert inside
        assert len(read.result()) == 3

    @needs(Capability.SCAN)
    def test_writers_lose_nothing(self, store: FeatureStore) -> None:
        """Threads that write at once each get their own commit, and all rows are there."""
        group = candle_group("a")
        store.apply(group)
        parts = [candles(group, 4, symbol=f"COIN-{n}", seed=n) for n in range(6)]
        with ThreadPoolExecutor(3) as pool:
            reports = list(pool.map(lambda part: store.write(group, part), parts))

        assert [report.inserted for report in reports] == [4] * 6
        assert len({report.commit_id for report in reports}) == 6
        assert len({report.committed_at for report in reports}) == 6
        assert_same(store.read(group), pd.concat(parts, ignore_index=True))
