"""What a definition accepts, what identifies it, and how two of them differ."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import attrs
import pytest

from btcfs.definitions import (
    Feature,
    FeatureGroup,
    FeatureView,
    IndicatorRef,
    Label,
    definition_from_dict,
    parse_interval,
)  # fmt: skip
from btcfs.differences import differences
from btcfs.errors import DefinitionError

GROUP = FeatureGroup(
    "candles", 2, [Feature("close", unit="USD", bounds=(0, 1e9), description="last"), Feature("n", "int64")],
    interval="1h", indicators=[IndicatorRef("rsi", (("window", 14),), "ab")], anchor=(500, 250), description="words",
)  # fmt: skip
VIEW = FeatureView("view", 1, [("candles", 2)], ["n", "close"], Label("close", 3, "change"), "words")


@pytest.mark.parametrize(
    ("text", "length"), [("1s", 1), ("15m", 900), ("4h", 14_400), ("1d", 86_400), ("2w", 1_209_600)]
)
def test_intervals(text: str, length: int) -> None:
    """An interval is a count and a unit."""
    assert parse_interval(text) == timedelta(seconds=length)


@pytest.mark.parametrize("text", ["", "h", "0h", "-1h", "1", "1y", "1 h", "01h", "1H", "1h1m", "१h"])
def test_no_intervals(text: str) -> None:
    """Anything else is refused and shown."""
    with pytest.raises(DefinitionError, match="interval"):
        parse_interval(text)


@pytest.mark.parametrize("name", ["", "Close", "close-price", "1st", "_x", "é", "a" * 64, "a b", "close\n", 7, None])
def test_names_are_lower_snake_case(name: Any) -> None:
    """Names of features, groups, views and columns are portable to every backend."""
    for make in (
        lambda: Feature(name),
        lambda: FeatureGroup(name, 1, [Feature("x")]),
        lambda: FeatureGroup("g", 1, [Feature("x")], primary_key=(name,)),
        lambda: FeatureGroup("g", 1, [Feature("x")], event_time=name),
        lambda: FeatureView(name, 1, [("g", 1)], ["x"]),
    ):
        with pytest.raises(DefinitionError):
            make()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Feature("x", "float32"), "float32"),
        (lambda: FeatureGroup("g", 0, [Feature("x")]), "version"),
        (lambda: FeatureGroup("g", True, [Feature("x")]), "version"),
        (lambda: FeatureGroup("g", "1", [Feature("x")]), "version"),
        (lambda: FeatureGroup("g", 1, []), "no features"),
        (lambda: FeatureGroup("g", 1, [Feature("x")], primary_key=()), "no primary key"),
        (lambda: FeatureGroup("g", 1, [Feature("x"), Feature("x")]), "more than one column named x"),
        (lambda: FeatureGroup("g", 1, [Feature("symbol")]), "symbol"),
        (lambda: FeatureGroup("g", 1, [Feature("event_time")]), "event_time"),
        (lambda: FeatureGroup("g", 1, [Feature("x")], primary_key=("symbol",), interval="1h"), "timestamp"),
        (lambda: FeatureGroup("g", 1, [Feature("x")], interval="soon"), "soon"),
        (lambda: FeatureView("v", 1, [], ["x"]), "no feature group"),
        (lambda: FeatureView("v", 1, [("g", 1)], []), "no feature"),
        (lambda: FeatureView("v", 1, [("g", 1)], ["x", "y", "x"]), "x more than once"),
        (lambda: Label(horizon=0), "horizon"),
        (lambda: Label(kind="level"), "level"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(make: Any, words: str) -> None:
    """An ill-defined value is refused when it is made, and says why."""
    with pytest.raises(DefinitionError, match=words):
        make()


@pytest.mark.parametrize("definition", [GROUP, VIEW, attrs.evolve(VIEW, label=None)])
def test_definitions_survive_json(definition: Any) -> None:
    """A definition read back from its JSON text is equal in every field and hash."""
    again = definition_from_dict(json.loads(json.dumps(definition.to_dict())))

    assert again == definition
    assert again.fingerprint == definition.fingerprint


def test_a_dictionary_of_another_kind_is_refused() -> None:
    """Only groups and views are definitions."""
    with pytest.raises(DefinitionError, match="table"):
        definition_from_dict({"kind": "table"})


def test_descriptions_do_not_identify() -> None:
    """Two definitions that differ in descriptions alone have one fingerprint and no differences."""
    described = attrs.evolve(GROUP, description="", features=[attrs.evolve(f, description="?") for f in GROUP.features])

    assert described.fingerprint == GROUP.fingerprint
    assert differences(GROUP, described) == []
    assert attrs.evolve(VIEW, description="").fingerprint == VIEW.fingerprint


def test_everything_else_identifies() -> None:
    """A change of any other field changes the fingerprint and is told."""
    close, n = GROUP.features
    changed: list[tuple[Any, str]] = [
        (attrs.evolve(GROUP, features=(n, close)), "order of the features"),
        (attrs.evolve(GROUP, features=(close,)), "feature n was removed"),
        (attrs.evolve(GROUP, features=(close, n, Feature("z"))), "feature z was added"),
        (attrs.evolve(GROUP, features=(attrs.evolve(close, unit="EUR"), n)), "EUR"),
        (attrs.evolve(GROUP, interval="1d"), "interval"),
        (attrs.evolve(GROUP, anchor=None), "anchor"),
        (attrs.evolve(GROUP, event_time="known_at"), "known_at"),
        (attrs.evolve(GROUP, primary_key=("timestamp", "symbol")), "primary_key"),
        (attrs.evolve(GROUP, indicators=[IndicatorRef("rsi", (("window", 15),), "ab")]), "indicator rsi"),
    ]
    for other, words in changed:
        assert other.fingerprint != GROUP.fingerprint
        assert words in "; ".join(differences(GROUP, other))
    for view in (attrs.evolve(VIEW, features=("close", "n")), attrs.evolve(VIEW, label=None)):
        assert view.fingerprint != VIEW.fingerprint
        assert differences(VIEW, view)


def test_what_a_group_says_of_its_columns() -> None:
    """Key, event time and features in order, their types, and the entity without the time."""
    assert GROUP.columns == ("symbol", "timestamp", "event_time", "close", "n")
    assert list(GROUP.dtypes.values()) == ["string", "timestamp", "timestamp", "float64", "int64"]
    assert (GROUP.entity, GROUP.has_time_key, GROUP.step) == (("symbol",), True, timedelta(hours=1))
    static = FeatureGroup("static", 1, [Feature("x")], primary_key="symbol")
    assert (static.entity, static.has_time_key, static.step) == (("symbol",), False, None)


def test_definitions_are_values() -> None:
    """A definition can be a key and cannot be changed."""
    assert len({GROUP, attrs.evolve(GROUP), VIEW, attrs.evolve(VIEW)}) == 2
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        GROUP.name = "other"
