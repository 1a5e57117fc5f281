"""The rules of the gate: what counts as certified, as sound data, and as a baseline beaten."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from btcfs.definitions import Feature, FeatureGroup, FeatureView
from btcfs.indicators import Indicator, indicator
from btcfs.pipeline.verify import Check
from btcfs.training.gate import (
    BEATS_BASELINE,
    REQUIRED,
    GateCheck,
    beats_baseline,
    data_checks,
    features_certified,
    obstacles,
    recorded_checks,
)


@indicator()
def doubled(close: Any) -> Any:
    """Twice the close."""
    return close * 2.0


@indicator(lookback=lambda period: period)
def moved(close: Any, *, period: int = 1) -> Any:
    """The close of another candle."""
    return close


INDICATORS = [doubled(), moved(period=3)]
GROUP = FeatureGroup(
    "features", 1, [Feature("doubled"), Feature("moved_3")], indicators=[item.ref for item in INDICATORS], interval="1d"
)
VIEW = FeatureView("view", 1, [GROUP.ref], ["moved_3", "doubled"])


def sound(item: Indicator) -> list[str]:
    return []


def test_certified() -> None:
    """Features of installed indicators, of the code that computed them and with no finding, are certified."""
    asked: list[str] = []

    def certify(item: Indicator) -> list[str]:
        asked.append(item.name)
        return []

    check = features_certified(VIEW, [GROUP, VIEW], INDICATORS, certify)

    assert check == GateCheck("features_certified", True, "2 features of 2 indicators certified")
    assert asked == ["moved", "doubled"]


def test_a_finding_is_told() -> None:
    """A feature whose indicator breaks a law is not certified, and the law is named."""
    check = features_certified(VIEW, [GROUP], INDICATORS, lambda item: ["prefix: looks ahead"] if item.params else [])

    assert check == GateCheck("features_certified", False, "moved_3: prefix: looks ahead")


@pytest.mark.parametrize(
    ("definitions", "indicators", "said"),
    [
        ([], INDICATORS, "no feature group"),
        ([GROUP], INDICATORS[:1], "moved_3 is computed by no installed indicator"),
        ([GROUP], [INDICATORS[0], attrs.evolve(INDICATORS[1], version="2")], "computed by other code"),
        ([attrs.evolve(GROUP, features=[Feature("doubled")])], INDICATORS, "moved_3 stands in no group"),
    ],
)
def test_what_cannot_be_certified(definitions: list[Any], indicators: list[Indicator], said: str) -> None:
    """A view whose group is gone, and a feature of unknown or of other code, is not certified."""
    check = features_certified(VIEW, definitions, indicators, sound)

    assert not check.passed
    assert said in check.detail


def test_data_checks() -> None:
    """A failed check of the store shuts the gate, a warning is told, and no check at all is no proof."""
    fine, odd, bad = (
        Check("rows", "ok", "m"),
        Check("coverage", "warning", "a gap"),
        Check("online", "failed", "differs"),
    )

    assert data_checks([fine, odd]) == GateCheck("data_checks", True, "2 checks passed, with a warning about coverage")
    assert data_checks([fine, bad]) == GateCheck("data_checks", False, "online: differs")
    assert not data_checks([]).passed


def test_recorded_checks() -> None:
    """What training recorded is read back; only a plain true counts as passed."""
    written = beats_baseline(True, "by 0.02").to_dict()

    assert recorded_checks({"checks": [written]}) == [GateCheck(BEATS_BASELINE, True, "by 0.02")]
    assert not any(c.passed for c in recorded_checks({"checks": [{**written, "passed": "yes"}, {"name": "x"}, 3]}))
    assert recorded_checks({}) == []


def test_obstacles() -> None:
    """What stands in the way is each failed check and each required one that is absent."""
    green = [GateCheck(name, True) for name in REQUIRED]

    assert obstacles(green) == []
    assert [check.name for check in obstacles(green[1:])] == [REQUIRED[0]]
    assert [check.name for check in obstacles([*green, GateCheck("extra", False)])] == ["extra"]
