"""The rules by which definitions live together."""

from __future__ import annotations

import attrs
import pytest

from btcfs import catalogue
from btcfs.definitions import Feature, FeatureGroup, FeatureView
from btcfs.errors import DefinitionError, NotFound

CANDLES = FeatureGroup("candles", 1, [Feature("close"), Feature("volume"), Feature("venue", "string")])
NEWER = attrs.evolve(CANDLES, version=10)
MACRO = FeatureGroup("macro", 1, [Feature("rate"), Feature("volume")], primary_key=("timestamp",))
VIEW = FeatureView("view", 1, [CANDLES.ref, MACRO.ref], ["rate", "close"])
STORED = [VIEW, NEWER, MACRO, CANDLES]


def test_the_newest_version_is_found() -> None:
    """Without a version, the greatest number is meant; with one, that version."""
    assert catalogue.find_group(STORED, "candles") == NEWER
    assert catalogue.find_group(STORED, "candles", 1) == CANDLES
    assert catalogue.find_view(STORED, "view") == VIEW


def test_what_is_not_found_is_named_beside_what_is_there() -> None:
    """NotFound names what was asked for and what is stored."""
    with pytest.raises(NotFound, match=r"'candle'.*candles, macro"):
        catalogue.find_group(STORED, "candle")
    with pytest.raises(NotFound, match=r"version 2 .*'candles'.*1, 10"):
        catalogue.find_group(STORED, "candles", 2)
    with pytest.raises(NotFound, match="stored: none"):
        catalogue.find_view([], "view")
    with pytest.raises(NotFound):
        catalogue.find_view(STORED, "candles")


def test_another_definition_is_refused_with_the_next_version() -> None:
    """The next free version follows the greatest stored one."""
    changed = attrs.evolve(CANDLES, interval="1h")
    for check in (catalogue.check_apply, catalogue.same):
        with pytest.raises(DefinitionError, match=r"interval.*version 11"):
            check(STORED, changed)
    catalogue.check_apply(STORED, attrs.evolve(changed, version=11))
    assert catalogue.same(STORED, attrs.evolve(CANDLES, description="new")) == CANDLES


def test_a_view_is_resolved_in_its_own_order() -> None:
    """Each part has its names and their places in the vector; the first group leads."""
    resolved = catalogue.resolve(STORED, VIEW)

    assert resolved.leading == CANDLES
    assert resolved.parts == ((CANDLES, ("close",), (1,)), (MACRO, ("rate",), (0,)))


def test_the_first_group_leads_though_nothing_is_taken_from_it() -> None:
    """It stays among the parts; another group from which nothing is taken does not."""
    view = FeatureView("view", 1, [CANDLES.ref, MACRO.ref], ["rate"])
    assert catalogue.resolve(STORED, view).parts == ((CANDLES, (), ()), (MACRO, ("rate",), (0,)))
    other = FeatureView("view", 1, [CANDLES.ref, MACRO.ref], ["close"])
    assert catalogue.resolve(STORED, other).parts == ((CANDLES, ("close",), (0,)),)


@pytest.mark.parametrize(
    ("groups", "features", "words"),
    [
        ([CANDLES, MACRO], ["volume"], "candles v1 and macro v1"),
        ([CANDLES], ["absent"], "'absent' is in no group"),
        ([CANDLES], ["venue"], "a string"),
        ([MACRO, CANDLES], ["rate"], "needs the key symbol"),
    ],
)
def test_a_view_must_fit(groups: list[FeatureGroup], features: list[str], words: str) -> None:
    """A feature is in exactly one group and a number, and the first group has every entity column."""
    view = FeatureView("other", 1, [group.ref for group in groups], features)

    with pytest.raises(DefinitionError, match=words):
        catalogue.check_apply(STORED, view)


def test_what_a_delete_removes() -> None:
    """One version, or all; not what a view uses, not what is not there."""
    assert catalogue.doomed(STORED, NEWER, all_versions=False) == [NEWER]
    assert catalogue.doomed(STORED, VIEW, all_versions=True) == [VIEW]
    without = [d for d in STORED if d != VIEW]
    assert set(catalogue.doomed(without, CANDLES, all_versions=True)) == {CANDLES, NEWER}
    for every in (False, True):
        with pytest.raises(DefinitionError, match="used by view v1"):
            catalogue.doomed(STORED, CANDLES, all_versions=every)
        with pytest.raises(NotFound, match="unknown"):
            catalogue.doomed(STORED, attrs.evolve(CANDLES, name="unknown"), all_versions=every)


def test_the_order_of_definitions() -> None:
    """Groups first, then by name and version as a number."""
    assert catalogue.ordered(STORED) == [CANDLES, NEWER, MACRO, VIEW]
