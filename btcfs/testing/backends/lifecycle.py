"""The laws of opening and closing: what is written stays, and a closed store says so."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from btcfs.errors import StoreUnavailable, Unsupported
from btcfs.store import Capability, FeatureStore
from btcfs.testing.backends.comparing import assert_same, vector
from btcfs.testing.backends.examples import START, candle_group, candles, put, view_of
from btcfs.testing.backends.kit import Kit, OpenStore, needs


def calls(store: FeatureStore) -> dict[str, tuple[Capability | None, Callable[[], Any]]]:
    """Every call of the protocol on definitions that are applied, with the capability it needs."""
    group = candle_group("a")
    view = view_of(group)
    spine = candles(group, 1)[["symbol", "event_time"]]

    def apply() -> None:
        store.apply(group)
        store.apply(view)

    def exclusive() -> None:
        with store.exclusive():
            store.definitions()

    return {
        "apply": (Capability.WRITE, apply),
        "write": (Capability.WRITE, lambda: store.write(group, candles(group, 2))),
        "definitions": (None, store.definitions),
        "read": (Capability.SCAN, lambda: store.read(group)),
        "summary": (None, lambda: store.summary(group)),
        "join": (None, lambda: store.get_historical_features(view, spine)),
        "vectors": (Capability.ONLINE, lambda: store.get_online_features(view, [{"symbol": "BTC-USD"}])),
        "read as of": (Capability.TIME_TRAVEL, lambda: store.read(group, as_of=START)),
        "join as of": (Capability.TIME_TRAVEL, lambda: store.get_historical_features(view, spine, as_of=START)),
        "exclusive": (Capability.WRITE, exclusive),
        "delete": (Capability.DELETE, lambda: store.delete(view)),
    }


class LifecycleLaws(Kit):
    """Capabilities, ``close`` and what lasts."""

    def test_it_is_a_feature_store(self, store: FeatureStore) -> None:
        """A backend has the protocol's methods, a name, and a frozen set of capabilities."""
        assert isinstance(store, FeatureStore)
        assert isinstance(store.name, str)
        assert store.name
        assert isinstance(store.capabilities, frozenset)
        assert all(isinstance(capability, Capability) for capability in store.capabilities)

    def test_capabilities_are_true(self, store: FeatureStore) -> None:
        """What is declared works, and what is not declared raises Unsupported."""
        if Capability.WRITE not in store.capabilities:
            group = candle_group()
            for act in (lambda: store.apply(group), lambda: store.write(group, candles(group, 1))):
                with pytest.raises(Unsupported):
                    act()
            return
        for name, (capability, call) in calls(store).items():
            needed = {capability, Capability.SCAN} if name == "read as of" else {capability}
            if needed - {None} <= store.capabilities:
                call()
                continue
            with pytest.raises(Unsupported):
                pytest.fail(f"{name} gave {call()} though it is not declared")

    def test_a_closed_store_says_so(self, open_store: OpenStore) -> None:
        """After close every call raises StoreUnavailable, and closing again is nothing."""
        store = open_store()
        store.close()
        store.close()

        for name, (capability, call) in calls(store).items():
            if capability is None or capability in store.capabilities:
                with pytest.raises(StoreUnavailable):
                    pytest.fail(f"{name} gave {call()} on a closed store")

    def test_a_with_block_closes(self, open_store: OpenStore) -> None:
        """A with block gives the store and closes it, whether it ends well or not; its exception passes."""
        store = open_store()
        with store as inside:
            assert inside is store
            inside.definitions()
        with pytest.raises(StoreUnavailable):
            store.definitions()
        broken = open_store()
        with pytest.raises(RuntimeError, match="mine"), broken:
            raise RuntimeError("mine")
        with pytest.raises(StoreUnavailable):
            broken.definitions()

    @needs(Capability.SCAN)
    def test_closing_one_store_closes_no_other(self, store: FeatureStore, open_store: OpenStore) -> None:
        """Stores on one place are opened and closed each for itself."""
        group = candle_group()
        other = open_store()
        put(store, group, candles(group, 2))
        other.close()

        assert_same(store.read(group), candles(group, 2))
        store.write(group, candles(group, 3))
        assert_same(store.read(group), candles(group, 3))

    @needs(Capability.SCAN, Capability.ONLINE, Capability.TIME_TRAVEL)
    def test_everything_lasts(self, open_store: OpenStore, store: FeatureStore) -> None:
        """Definitions, rows, history and vectors are there after every store was closed and one opened again."""
        group = candle_group()
        view = view_of(group)
        first = put(store, group, candles(group, 3))
        store.apply(view)
        store.write(group, candles(group, 4).assign(a=0.5))
        store.close()

        with open_store() as again:
            assert {group, view} <= set(again.definitions())
            assert_same(again.read(group), candles(group, 4).assign(a=0.5))
            assert_same(again.read(group, as_of=first.committed_at), candles(group, 3))
            assert vector(again, view, symbol="BTC-USD").values[0] == 0.5
            report = again.write(group, candles(group, 5))
            assert (report.inserted, report.updated, report.unchanged) == (1, 4, 0)
            assert report.commit_id is not None
            assert first.commit_id is not None
            assert report.commit_id > first.commit_id

    @needs(Capability.SCAN)
    def test_two_stores_see_each_others_writes(self, store: FeatureStore, open_store: OpenStore) -> None:
        """What one store wrote, another on the same place reads when write has returned."""
        group = candle_group()
        with open_store() as other:
            store.apply(group)
            assert group in other.definitions()
            for n, (writer, reader) in enumerate([(store, other), (other, store), (store, other)]):
                writer.write(group, candles(group, n + 1))
                assert_same(reader.read(group), candles(group, n + 1))
                assert reader.summary(group).rows == n + 1
