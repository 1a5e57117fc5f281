"""What a training finds out for the activation gate, while the store is at hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from btcfs import catalogue
from btcfs.definitions import FeatureView
from btcfs.errors import BtcfsError
from btcfs.indicators import Indicator
from btcfs.instants import now
from btcfs.pipeline.plan import plan
from btcfs.pipeline.standard import DEFAULT_INTERVAL, candle_group
from btcfs.pipeline.verify import Verification
from btcfs.plugins import Plugins
from btcfs.store import FeatureStore
from btcfs.training import gate
from btcfs.training.datasets import TrainingSet
from btcfs.training.report import TaskReport

Certify = Callable[[Indicator], list[str]]


def gate_checks(
    store: FeatureStore,
    data: TrainingSet,
    tasks: Mapping[str, TaskReport],
    plugins: Plugins,
    certify: Certify | None,
) -> list[gate.GateCheck]:
    """The checks by name: the models beat their baselines, the stored data are sound, the features certified.

    Without ``certify``, the indicator kit's function, that check is not made, and so does not pass.
    """
    checks = [_skill(tasks), _data(store, data, plugins)]
    if certify is not None:
        indicators = plugins.indicators()
        checks.append(gate.features_certified(data.view, store.definitions(), indicators, certify))
    return checks


def _skill(tasks: Mapping[str, TaskReport]) -> gate.GateCheck:
    """Both models must have skill, for both answer each request."""
    lacking = [task for task, part in tasks.items() if not part.verdict.beats_baseline]
    said = "; ".join(f"{task} with {part.model}: {part.verdict.words}" for task, part in tasks.items())
    return gate.beats_baseline(not lacking, said)


def _data(store: FeatureStore, data: TrainingSet, plugins: Plugins) -> gate.GateCheck:
    """The answer of verification on the view's first group."""
    symbol = str(data.provenance["query"]["entity"].get("symbol", ""))
    try:
        return gate.data_checks(list(verification(store, data.view, plugins, symbol).checks()))
    except BtcfsError as exc:
        return gate.GateCheck(gate.DATA_CHECKS, False, f"could not be made: {exc}")


def verification(
    store: FeatureStore, view: FeatureView, plugins: Plugins, symbol: str, candles: str | None = None
) -> Verification:
    """The verification of the view's first group; ``candles`` names the group of its candles if not the standard one."""
    group = catalogue.find_group(store.definitions(), *view.groups[0])
    interval = group.interval or DEFAULT_INTERVAL
    computed = plan(plugins.indicators(), interval, group.feature_names)
    expected = computed.group(group.name, group.version)
    return Verification(store, computed, expected, candle_group(interval, candles), symbol, now())


def failed(checks: Sequence[gate.GateCheck]) -> list[str]:
    """One sentence for each check that stands in the way."""
    return [f"{check.name}: {check.detail}" for check in gate.obstacles(checks)]
