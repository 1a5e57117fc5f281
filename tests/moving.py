"""Stores with a past, for tests of copies and comparisons."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from typing import Any

import numpy as np
import pandas as pd

from btcfs.definitions import Feature, FeatureGroup, FeatureView, Label
from btcfs.errors import StoreUnavailable, Unsupported
from btcfs.memory import Contents, MemoryStore
from btcfs.store import Capability, Commit, FeatureStore

START = datetime(2024, 1, 1, tzinfo=timezone.utc)
HOUR = timedelta(hours=1)
GROUP = FeatureGroup(
    "mixed",
    1,
    [
        Feature("close"),
        Feature("volume"),
        Feature("trades", "int64"),
        Feature("up", "bool"),
        Feature("venue", "string"),
        Feature("seen", "timestamp"),
    ],
    interval="1h",
)
NEWER = FeatureGroup("mixed", 2, [Feature("close"), Feature("rsi_14")], interval="1h")
NOTES = FeatureGroup("notes", 1, [Feature("text", "string"), Feature("score")], primary_key=("name",))
VIEW = FeatureView("narrow", 1, [GROUP.ref], ["volume", "close"], Label())


def rows(count: int, first: int = 0, seed: int = 0, symbols: Sequence[str] = ("BTC-USD", "ETH-USD")) -> pd.DataFrame:
    """Rows of ``GROUP``: for each symbol so many hours, with missing values of every kind."""
    random = np.random.default_rng(seed)
    parts = []
    for symbol in symbols:
        opens = pd.to_datetime([START + HOUR * n for n in range(first, first + count)], utc=True).as_unit("us")
        close = random.normal(size=count)
        close[random.random(count) < 0.2] = np.nan
        venue: Any = np.array(["kraken", "bitstamp", None], dtype=object)[random.integers(0, 3, count)]
        seen = pd.Series(opens).where(pd.Series(random.random(count) < 0.7))
        parts.append(
            pd.DataFrame(
                {
                    "symbol": symbol,
                    "timestamp": opens,
                    "close": close,
                    "volume": random.random(count),
                    "trades": random.integers(0, 2**62, count),
                    "up": random.random(count) < 0.5,
                    "venue": venue,
                    "seen": seen,
                }
            )
        )
    return pd.concat(parts, ignore_index=True)


def notes(count: int, at: datetime = START, score: float = 1.0) -> pd.DataFrame:
    names = [f"note-{n}" for n in range(count)]
    return pd.DataFrame({"name": names, "event_time": pd.Timestamp(at), "text": "x", "score": score})


def filled(store: FeatureStore) -> FeatureStore:
    """The store with two versions of a group, a third group, a view, and six commits."""
    for definition in (GROUP, NEWER, NOTES, VIEW):
        store.apply(definition)
    store.write(GROUP, rows(60))
    store.write(GROUP, rows(10, first=55, seed=1))
    store.write(GROUP, rows(1, first=70, seed=2, symbols=("BTC-USD",)))
    store.write(NEWER, rows(12)[["symbol", "timestamp", "close"]].assign(rsi_14=np.nan))
    store.write(NOTES, notes(3))
    store.write(NOTES, notes(2, START + HOUR, score=2.0))
    return store


def same_past(one: FeatureStore, other: FeatureStore, groups: Sequence[FeatureGroup] = (GROUP, NEWER, NOTES)) -> bool:
    """Whether both stores give the same rows now and at every instant at which either changed."""
    for group in groups:
        assert list(one.commits(group)) == list(other.commits(group)), group.title
        instants = [None, *(commit.committed_at for commit in one.commits(group))]
        for as_of in instants:
            pd.testing.assert_frame_equal(one.read(group, as_of=as_of), other.read(group, as_of=as_of))
    return True


class Forgetful(MemoryStore):
    """A memory store without knowledge time, as many backends are."""

    name = "forgetful"
    capabilities = MemoryStore.capabilities - {Capability.TIME_TRAVEL}

    def __init__(self) -> None:
        super().__init__(Contents(), {})

    def read(self, *args: Any, as_of: datetime | None = None, **kwargs: Any) -> pd.DataFrame:
        if as_of is not None:
            raise Unsupported("no time travel")
        return super().read(*args, **kwargs)

    def commits(self, group: FeatureGroup) -> Sequence[Commit]:
        raise Unsupported("no time travel")

    def changes(self, *args: Any, **kwargs: Any) -> pd.DataFrame:
        raise Unsupported("no time travel")

    def write(self, group: FeatureGroup, rows: Any, *, commit: Commit | None = None) -> Any:
        if commit is not None:
            raise Unsupported("no time travel")
        return super().write(group, rows)


class Full(MemoryStore):
    """A store whose disk is full after so many writes, until there is ``room`` for more."""

    name = "full"

    def __init__(self, room: int) -> None:
        super().__init__(Contents(), {})
        self.room = room

    def write(self, group: FeatureGroup, rows: Any, *, commit: Commit | None = None) -> Any:
        if self.room <= 0:
            raise StoreUnavailable("no space left on the device")
        self.room -= 1
        return super().write(group, rows, commit=commit)
