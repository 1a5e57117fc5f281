"""The laws of definitions: kept whole, applied again at no cost, and never changed under one version."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from btcfs.definitions import Feature, FeatureGroup, FeatureView, IndicatorRef, Label
from btcfs.errors import DefinitionError, NotFound
from btcfs.store import Capability, FeatureStore
from btcfs.testing.backends.comparing import assert_same
from btcfs.testing.backends.examples import candle_group, candles, put, static_group, unique, view_of
from btcfs.testing.backends.kit import Kit, OpenStore, needs


def full_group() -> FeatureGroup:
    """A group in which every field says something."""
    return candle_group(
        Feature("close", unit="USD", description="the last trade"),
        Feature("rsi_14", unit="%", bounds=(0, 100)),
        Feature("trades", "int64"),
        Feature("up", "bool"),
        Feature("venue", "string"),
        Feature("seen", "timestamp"),
        indicators=[IndicatorRef("rsi", (("window", 14), ("kind", "wilder"), ("alpha", 0.5)), "0af3")],
        anchor=(500, 250),
        description="candles, and what was made of them: 日本",
    )


def changes(group: FeatureGroup) -> dict[str, FeatureGroup]:
    """The group with one thing changed, by a word that the refusal must contain."""
    first, second, *others = group.features
    other_code: Any = (IndicatorRef("rsi", (), "other"),)
    return {
        "extra": attrs.evolve(group, features=(*group.features, Feature("extra"))),
        second.name: attrs.evolve(group, features=(first, *others)),
        "order": attrs.evolve(group, features=(second, first, *others)),
        "int64": attrs.evolve(group, features=(attrs.evolve(first, dtype="int64"), second, *others)),
        "EUR": attrs.evolve(group, features=(attrs.evolve(first, unit="EUR"), second, *others)),
        "bounds": attrs.evolve(group, features=(attrs.evolve(first, bounds=(0, 1)), second, *others)),
        "primary_key": attrs.evolve(group, primary_key=("symbol", "venue_id", "timestamp")),
        "interval": attrs.evolve(group, interval="1d"),
        "known_at": attrs.evolve(group, event_time="known_at"),
        "indicator": attrs.evolve(group, indicators=other_code),
        "anchor": attrs.evolve(group, anchor=(501, 250)),
    }


class DefinitionLaws(Kit):
    """``apply`` and ``definitions``."""

    @needs()
    def test_definitions_come_back_whole(self, store: FeatureStore, open_store: OpenStore) -> None:
        """What is applied is read back equal in every field, by this store and by one opened later."""
        group = full_group()
        view = view_of(group, features=("rsi_14", "close"), label=Label("close", 3, "change", 0.5), description="both")
        store.apply(group)
        store.apply(view)

        with open_store() as later:
            for definitions in (store.definitions(), later.definitions()):
                assert [d for d in definitions if d == group] == [group]
                assert [d for d in definitions if d == view] == [view]

    @needs(Capability.SCAN)
    def test_applying_again_changes_nothing(self, store: FeatureStore) -> None:
        """A definition may be applied again, and its rows stay."""
        group = candle_group()
        view = view_of(group)
        put(store, group, candles(group, 3))
        store.apply(view)
        store.apply(group)
        store.apply(view)

        assert_same(store.read(group), candles(group, 3))
        assert [d for d in store.definitions() if d.name in (group.name, view.name)] == [group, view]

    @needs(Capability.SCAN)
    def test_a_new_description_is_taken(self, store: FeatureStore, open_store: OpenStore) -> None:
        """Descriptions are not part of the definition: a new one replaces the old, and the rows stay."""
        group = candle_group()
        view = view_of(group)
        put(store, group, candles(group, 3))
        store.apply(view)
        features = [attrs.evolve(f, description=f"the feature {f.name}") for f in group.features]
        described = attrs.evolve(group, description="better", features=features)
        better_view = attrs.evolve(view, description="better")
        store.apply(described)
        store.apply(better_view)

        with open_store() as later:
            mine = [d for d in later.definitions() if d.name in (group.name, view.name)]
            assert mine == [described, better_view]
            assert_same(later.read(group), candles(group, 3))

    @needs(Capability.SCAN)
    def test_a_version_never_changes(self, store: FeatureStore) -> None:
        """Other content under a stored version is refused with the difference and the next free version."""
        group = full_group()
        store.apply(group)
        store.apply(attrs.evolve(group, version=4))

        for word, changed in changes(group).items():
            with pytest.raises(DefinitionError) as refusal:
                store.apply(changed)
            assert word in str(refusal.value)
            assert "version 5" in str(refusal.value)
        assert [d for d in store.definitions() if d.name == group.name] == [group, attrs.evolve(group, version=4)]
        assert len(store.read(group)) == 0

    @needs()
    def test_a_view_version_never_changes(self, store: FeatureStore) -> None:
        """Features, their order, the groups and the label of a stored view version stay."""
        group, other = candle_group("a", "b"), candle_group("c")
        view = view_of(group)
        for definition in (group, other, view):
            store.apply(definition)

        for changed in (
            attrs.evolve(view, features=("b", "a")),
            attrs.evolve(view, features=("a",)),
            attrs.evolve(view, groups=(group.ref, other.ref)),
            attrs.evolve(view, label=Label("a")),
        ):
            with pytest.raises(DefinitionError, match="version 2"):
                store.apply(changed)
        assert [d for d in store.definitions() if d.name == view.name] == [view]

    @needs(Capability.SCAN)
    def test_versions_live_side_by_side(self, store: FeatureStore) -> None:
        """Two versions of a group have their own columns and rows."""
        first = candle_group("a", "b")
        second = candle_group("a", "c", name=first.name, version=2)
        put(store, first, candles(first, 3, seed=1))
        put(store, second, candles(second, 2, seed=2))

        assert_same(store.read(first), candles(first, 3, seed=1))
        assert_same(store.read(second), candles(second, 2, seed=2))

    @needs()
    def test_a_group_and_a_view_may_share_a_name(self, store: FeatureStore) -> None:
        """Groups and views have names of their own kind."""
        group = candle_group()
        view = view_of(group, name=group.name)
        store.apply(group)
        store.apply(view)

        assert [d for d in store.definitions() if d.name == group.name] == [group, view]

    @needs()
    def test_definitions_are_ordered(self, store: FeatureStore) -> None:
        """Groups come before views, each by name and then by version as a number."""
        stem = unique("x")
        groups = [candle_group(name=f"{stem}_{letter}", version=v) for letter in "ba" for v in (10, 2, 1)]
        views = [view_of(groups[0], name=f"{stem}_{letter}") for letter in "dc"]
        for group in groups:
            store.apply(group)
        for view in views:
            store.apply(view)

        mine = [(d.name[-1], d.version) for d in store.definitions() if d.name.startswith(stem)]
        assert mine == [("a", 1), ("a", 2), ("a", 10), ("b", 1), ("b", 2), ("b", 10), ("c", 1), ("d", 1)]

    @needs()
    def test_a_view_must_fit_its_groups(self, store: FeatureStore) -> None:
        """A view of an unknown group, or of a feature that is in none, in several or no number, is refused."""
        group = candle_group("a", Feature("venue", "string"), Feature("seen", "timestamp"))
        twin, static = candle_group("a"), static_group("s", primary_key=("exchange",))
        for definition in (group, twin, static):
            store.apply(definition)
        views: dict[str, tuple[FeatureView, type[Exception]]] = {
            "absent": (view_of(group, features=("absent",)), DefinitionError),
            "a": (view_of(group, twin, features=("a",)), DefinitionError),
            "venue": (view_of(group, features=("venue",)), DefinitionError),
            "seen": (view_of(group, features=("seen",)), DefinitionError),
            "exchange": (view_of(group, static, features=("a", "s")), DefinitionError),
            "nowhere": (view_of(group, features=("a",), groups=[("nowhere", 1)]), NotFound),
            "7": (view_of(group, features=("a",), groups=[(group.name, 7)]), NotFound),
        }

        for word, (view, error) in views.items():
            with pytest.raises(error, match=word):
                store.apply(view)
            assert view.name not in [d.name for d in store.definitions()]
