"""The checks that a model passes before it may answer: it beats its baseline, its features are certified, its data are sound."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import attrs

from btcfs import catalogue
from btcfs.definitions import Definition, FeatureGroup, FeatureView
from btcfs.errors import NotFound

if TYPE_CHECKING:
    from btcfs.indicators import Indicator
    from btcfs.pipeline.verify import Check

BEATS_BASELINE = "beats_baseline"
FEATURES_CERTIFIED = "features_certified"
DATA_CHECKS = "data_checks"
VIEW_STORED = "view_stored"
REQUIRED = (BEATS_BASELINE, FEATURES_CERTIFIED, DATA_CHECKS)


@attrs.frozen
class GateCheck:
    """One condition of activation: whether it holds, and what was found."""

    name: str
    passed: bool
    detail: str = ""

    def to_dict(self) -> dict[str, Any]:
        return attrs.asdict(self)


def obstacles(checks: Iterable[GateCheck]) -> list[GateCheck]:
    """What stands in the way: the checks that failed, and one for each required check that was not made."""
    given = list(checks)
    names = {check.name for check in given}
    absent = [GateCheck(name, False, "was not made") for name in REQUIRED if name not in names]
    return [check for check in given if not check.passed] + absent


def recorded_checks(metadata: Mapping[str, Any]) -> list[GateCheck]:
    """The checks that training wrote into a bundle's metadata under ``checks``; those of another shape count as failed."""
    return [
        GateCheck(str(item.get("name")), item.get("passed") is True, str(item.get("detail", "")))
        for item in metadata.get("checks", [])
        if isinstance(item, Mapping)
    ]


def beats_baseline(skilled: bool, detail: str) -> GateCheck:
    """What the evaluation found: whether the difference to every baseline lies above zero, interval and all."""
    return GateCheck(BEATS_BASELINE, skilled, detail)


def view_stored(view: FeatureView, definitions: Sequence[Definition]) -> GateCheck:
    """Whether the store has the very view that the model was trained on."""
    if any(stored.fingerprint == view.fingerprint for stored in definitions):
        return GateCheck(VIEW_STORED, True, f"{view.title} is stored")
    return GateCheck(VIEW_STORED, False, f"{view.title} as the model knows it is not in the store; btcfs store info")


def data_checks(checks: Sequence[Check]) -> GateCheck:
    """The answer of ``btcfs verify``: a failed check shuts the gate, a warning is only told."""
    failed = [f"{check.name}: {check.message}" for check in checks if check.status == "failed"]
    warnings = [check.name for check in checks if check.status == "warning"]
    if failed:
        return GateCheck(DATA_CHECKS, False, "; ".join(failed))
    if not checks:
        return GateCheck(DATA_CHECKS, False, "nothing was checked")
    told = f", with a warning about {', '.join(warnings)}" if warnings else ""
    return GateCheck(DATA_CHECKS, True, f"{len(checks)} checks passed{told}")


def features_certified(
    view: FeatureView,
    definitions: Sequence[Definition],
    indicators: Sequence[Indicator],
    certify: Callable[[Indicator], list[str]],
) -> GateCheck:
    """Whether every feature comes from an installed indicator, of the code that computed it, with nothing found wrong.

    ``definitions`` are those of the store; ``certify`` gives the findings of the indicator kit.
    """
    try:
        groups = [catalogue.find_group(definitions, name, version) for name, version in view.groups]
    except NotFound as exc:
        return GateCheck(FEATURES_CERTIFIED, False, str(exc))
    installed = {feature.name: item for item in indicators for feature in item.outputs}
    hashes = {ref.hash for group in groups for ref in group.indicators}
    problems, found = _unknown(view, groups, installed, hashes), {}
    for name in view.features:
        item = installed.get(name)
        if item is not None and item.identity not in found:
            found[item.identity] = certify(item)
            problems += [f"{name}: {finding}" for finding in found[item.identity]]
    if problems:
        shown = "; ".join(problems[:5]) + (f"; and {len(problems) - 5} more" if len(problems) > 5 else "")
        return GateCheck(FEATURES_CERTIFIED, False, shown)
    return GateCheck(FEATURES_CERTIFIED, True, f"{len(view.features)} features of {len(found)} indicators certified")


def _unknown(
    view: FeatureView, groups: Sequence[FeatureGroup], installed: Mapping[str, Indicator], hashes: set[str]
) -> list[str]:
    problems = []
    for name in view.features:
        item = installed.get(name)
        if not any(name in group.feature_names for group in groups):
            problems.append(f"{name} stands in no group of the view")
        elif item is None:
            problems.append(f"{name} is computed by no installed indicator")
        elif item.hash not in hashes:
            problems.append(f"{name} was computed by other code than the installed indicator's")
    return problems
