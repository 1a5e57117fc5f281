"""The rules of a shadow: the primary answers, the shadow is compared and counted, and can do no harm."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from btcfs import connect
from btcfs.errors import NotFound, StoreUnavailable
from btcfs.memory import Contents, MemoryStore
from btcfs.store import FeatureStore
from btcfs.transfer.comparing import Tolerance
from btcfs.transfer.copying import copy_store
from btcfs.transfer.shadow import ShadowStore
from moving import GROUP, HOUR, START, VIEW, filled, rows

KEYS: list[dict[str, Any]] = [
    {"symbol": "BTC-USD"},
    {"symbol": "ETH-USD"},
    {"symbol": "BTC-USD", "timestamp": START + 5 * HOUR},
]


@pytest.fixture
def primary() -> FeatureStore:
    return filled(connect("memory"))


@pytest.fixture
def copy(primary: FeatureStore) -> FeatureStore:
    target = connect("memory")
    copy_store(primary, target)
    return target


def test_equal_stores_agree(primary: FeatureStore, copy: FeatureStore, tmp_path: Path) -> None:
    """Vectors, joins and rows of a copy agree, each value is counted, and the report says so."""
    report = tmp_path / "shadow.json"
    with ShadowStore(primary, copy, report=report) as store:
        vectors = store.get_online_features(VIEW, KEYS)
        joined = store.get_historical_features(VIEW, primary.read(GROUP)[["symbol", "event_time"]])
        whole = store.read(GROUP, START, START + 9 * HOUR)
        assert store.drain()
        assert store.tally.agrees

        assert [v.values.tobytes() for v in vectors] == [
            v.values.tobytes() for v in primary.get_online_features(VIEW, KEYS)
        ]
        assert len(joined) == 131
        assert len(whole) == 16
    told = json.loads(report.read_text())
    assert told["agrees"]
    assert told["reads"] == {"compared": 5}
    compared = {(f["where"], f["feature"]): f["compared"] for f in told["features"]}
    assert compared[VIEW.title, "close"] == 3 + 131
    assert compared[GROUP.title, "venue"] == 16


@pytest.mark.parametrize(("tolerance", "agrees"), [(None, False), (Tolerance(absolute=1e-6), True)])
def test_disagreements_are_counted_by_feature(
    primary: FeatureStore, copy: FeatureStore, tolerance: Tolerance | None, agrees: bool
) -> None:
    """A value that differs counts for its feature, with the key and both values; the caller gets the primary's."""
    copy.write(GROUP, copy.read(GROUP).assign(volume=lambda frame: frame["volume"] + 1e-9))
    with ShadowStore(primary, copy, tolerance=tolerance) as store:
        [newest, *_] = store.get_online_features(VIEW, KEYS)
        store.read(GROUP, columns=["volume"])
        store.drain()

        assert store.tally.agrees == agrees
        expected = {} if agrees else {(VIEW.title, "volume"): 3, (GROUP.title, "volume"): 131}
        assert store.tally.disagreements == expected
        assert newest.values[0] == primary.read(GROUP, entity={"symbol": "BTC-USD"})["volume"].iloc[-1]
    with pytest.raises(StoreUnavailable):  # closed with the shadow
        primary.definitions()


def test_newer_and_absent_rows_are_no_disagreements(primary: FeatureStore, copy: FeatureStore) -> None:
    """A shadow that is behind, ahead, or lacks a key is told apart from one that gives other values."""
    primary.write(GROUP, rows(1, first=90, symbols=("BTC-USD",)))
    copy.write(GROUP, rows(1, first=90, symbols=("ETH-USD",)))
    primary.write(GROUP, rows(1, symbols=("SOL-USD",)))
    copy.write(GROUP, rows(1, symbols=("ADA-USD",)))
    with ShadowStore(primary, copy) as store:
        store.get_online_features(VIEW, [*KEYS, {"symbol": "SOL-USD"}])
        for symbol in ("ADA-USD", "XRP-USD"):
            with pytest.raises(NotFound):
                store.get_online_features(VIEW, [{"symbol": symbol}])
        store.drain()

        assert dict(store.tally.reads) == {"behind": 1, "ahead": 1, "missing": 1, "extra": 1, "compared": 2}
        assert store.tally.disagreements == {}
        assert not store.tally.agrees


class Stuck(MemoryStore):
    """Does not answer before it is let go, and then fails."""

    def __init__(self) -> None:
        super().__init__(Contents(), {})
        self.go = threading.Event()

    def get_online_features(self, *args: Any, **kwargs: Any) -> Any:
        self.go.wait(30)
        raise StoreUnavailable("the shadow is away")


def test_a_shadow_that_hangs_or_fails_does_no_harm(primary: FeatureStore) -> None:
    """The caller never waits for the shadow; what does not fit into the queue is dropped and counted, errors too."""
    shadow = Stuck()
    with ShadowStore(primary, shadow, waiting=3) as store:
        for _ in range(20):
            assert len(store.get_online_features(VIEW, KEYS)) == 3
        assert store.tally.reads["dropped"] >= 16
        shadow.go.set()
        assert store.drain()

        assert store.tally.reads["failed"] == 20 - store.tally.reads["dropped"]
        assert "the shadow is away" in store.tally.to_dict()["examples"]["failed"][0]["error"]
        assert not store.tally.agrees


def test_writes_go_to_the_primary_alone(primary: FeatureStore, copy: FeatureStore) -> None:
    """A shadow is only read, whatever is written, and the primary's extras are there."""
    with ShadowStore(primary, copy) as store:
        before = store.change_token([GROUP.ref])
        store.write(GROUP, rows(1, first=300))
        assert store.change_token([GROUP.ref]) != before

        assert len(copy.read(GROUP)) + 2 == store.summary(GROUP).rows == len(primary.read(GROUP))
        assert isinstance(store, FeatureStore)
        assert (store.name, store.capabilities) == ("memory", primary.capabilities)
        pd.testing.assert_frame_equal(
            store.changes(GROUP, store.commits(GROUP)[0]), primary.changes(GROUP, primary.commits(GROUP)[0])
        )
