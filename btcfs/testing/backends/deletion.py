"""The laws of deleting: everything of a definition goes, and nothing else."""

from __future__ import annotations

import attrs
import pytest

from btcfs.errors import DefinitionError, NotFound
from btcfs.store import Capability, FeatureStore
from btcfs.testing.backends.comparing import assert_same, vector
from btcfs.testing.backends.examples import START, candle_group, candles, put, view_of
from btcfs.testing.backends.kit import Kit, OpenStore, needs


class DeletionLaws(Kit):
    """``delete``."""

    @needs(Capability.DELETE, Capability.SCAN)
    def test_a_deleted_group_is_gone(self, store: FeatureStore, open_store: OpenStore) -> None:
        """After a delete the definition and the rows are unknown, here and to a store opened later."""
        group, other = candle_group(), candle_group()
        put(store, group, candles(group, 3))
        put(store, other, candles(other, 3))
        store.delete(group)

        with open_store() as later:
            for each in (store, later):
                assert group not in each.definitions()
                for call in (each.read, each.summary):
                    with pytest.raises(NotFound, match=group.name):
                        call(group)
                with pytest.raises(NotFound, match=group.name):
                    each.write(group, candles(group, 1))
                assert_same(each.read(other), candles(other, 3))

    @needs(Capability.DELETE)
    def test_a_group_in_use_stays(self, store: FeatureStore) -> None:
        """A group that a stored view uses is not deleted, by version or with all versions; the refusal names the view."""
        group = candle_group()
        newer = attrs.evolve(group, version=2)
        view = view_of(group)
        put(store, group, candles(group, 3))
        put(store, newer, candles(newer, 2))
        store.apply(view)

        for every in (False, True):
            with pytest.raises(DefinitionError, match=view.name):
                store.delete(group, all_versions=every)
        assert [d for d in store.definitions() if d.name in (group.name, view.name)] == [group, newer, view]
        assert store.summary(group).rows == 3
        assert store.summary(newer).rows == 2

    @needs(Capability.DELETE, Capability.SCAN)
    def test_a_deleted_view_leaves_its_groups(self, store: FeatureStore) -> None:
        """Deleting a view removes no row, and then its group may go too."""
        group = candle_group()
        view = view_of(group)
        put(store, group, candles(group, 3))
        store.apply(view)
        store.delete(view)

        assert view not in store.definitions()
        assert_same(store.read(group), candles(group, 3))
        with pytest.raises(NotFound, match=view.name):
            store.get_historical_features(view, candles(group, 1)[["symbol", "event_time"]])
        store.delete(group)
        assert group not in store.definitions()

    @needs(Capability.DELETE)
    def test_one_version_goes_alone(self, store: FeatureStore) -> None:
        """Without all_versions the other versions keep their rows."""
        first = candle_group()
        second = attrs.evolve(first, version=2)
        put(store, first, candles(first, 3))
        put(store, second, candles(second, 2))
        store.delete(first)

        assert [d for d in store.definitions() if d.name == first.name] == [second]
        assert store.summary(second).rows == 2

    @needs(Capability.DELETE)
    def test_all_versions_go_together(self, store: FeatureStore) -> None:
        """With all_versions every version goes, and no other name that begins alike."""
        first = candle_group()
        alike = candle_group(name=f"{first.name}_v1")
        for definition in (first, attrs.evolve(first, version=2), alike, view_of(alike, name=f"{first.name}_view")):
            store.apply(definition)
        store.delete(first, all_versions=True)

        left = [d.name for d in store.definitions() if d.name.startswith(first.name)]
        assert left == [alike.name, f"{first.name}_view"]

    @needs(Capability.DELETE)
    def test_deleting_what_is_not_stored_is_not_found(self, store: FeatureStore) -> None:
        """An unknown group, view or version is NotFound and names it."""
        group = candle_group()
        store.apply(group)

        for unknown in (candle_group(), view_of(group), attrs.evolve(group, version=3)):
            with pytest.raises(NotFound, match=f"{unknown.name}|{unknown.version}"):
                store.delete(unknown)
        with pytest.raises(NotFound):
            store.delete(candle_group(), all_versions=True)
        assert group in store.definitions()

    @needs(Capability.DELETE, Capability.SCAN)
    def test_a_name_may_be_used_again(self, store: FeatureStore) -> None:
        """A deleted version may be defined anew with other columns, and starts empty."""
        group = candle_group("a", "b")
        put(store, group, candles(group, 3))
        store.delete(group)
        anew = candle_group("b", "c", "d", name=group.name)
        store.apply(anew)

        assert len(store.read(anew)) == 0
        assert store.summary(anew).rows == 0
        report = store.write(anew, candles(anew, 2))
        assert (report.inserted, report.updated, report.unchanged) == (2, 0, 0)
        assert_same(store.read(anew), candles(anew, 2))

    @needs(Capability.DELETE, Capability.TIME_TRAVEL, Capability.SCAN)
    def test_a_deleted_history_is_gone(self, store: FeatureStore) -> None:
        """The group defined again remembers nothing of the deleted one, at no earlier instant."""
        group = candle_group()
        before = put(store, group, candles(group, 3))
        store.delete(group)
        put(store, group, candles(group, 1, seed=5))

        assert len(store.read(group, as_of=before.committed_at)) == 0
        assert_same(store.read(group), candles(group, 1, seed=5))

    @needs(Capability.DELETE, Capability.ONLINE)
    def test_a_deleted_row_is_not_served(self, store: FeatureStore, open_store: OpenStore) -> None:
        """No vector of a deleted group comes back, even if the group does."""
        group = candle_group()
        view = view_of(group)
        put(store, group, candles(group, 3))
        store.apply(view)
        assert vector(store, view, symbol="BTC-USD").values[0] == candles(group, 3)["a"].iloc[-1]
        store.delete(view)
        with pytest.raises(NotFound, match=view.name):
            vector(store, view, symbol="BTC-USD")
        store.delete(group)
        store.apply(group)
        store.apply(view)

        with open_store() as later:
            for each in (store, later):
                for key in ({"symbol": "BTC-USD"}, {"symbol": "BTC-USD", "timestamp": START}):
                    with pytest.raises(NotFound, match="BTC-USD"):
                        each.get_online_features(view, [key])
