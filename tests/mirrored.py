"""A store and its mirror, either of which can be taken away, for the tests of the two as one."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from btcfs import memory
from btcfs.fallback import FallbackStore
from btcfs.fallback.breaker import Breaker
from btcfs.fallback.primary import Deadlines
from btcfs.testing.backends.comparing import assert_same
from btcfs.testing.backends.examples import candle_group, candles, view_of
from outages import Outage, ShortWhileHanging

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
        deadlines = ShortWhileHanging(self.primary, SHORT)
        options = {"breaker": lambda: Breaker(failures=2, rest=0.0), "deadlines": deadlines, "patience": 5.0, **options}
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
