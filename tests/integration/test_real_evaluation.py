"""Every shipped model on the real daily market: none has skill, and none is said to have."""

from __future__ import annotations

from pathlib import Path

import pytest

from btcfs.connection import connect, open_source
from btcfs.definitions import Label
from btcfs.pipeline.ingest import Ingest
from btcfs.pipeline.standard import create_views
from btcfs.plugins import installed_plugins
from btcfs.training.assessment import assess
from btcfs.training.datasets import TrainingSet, materialise, training_view
from btcfs.training.findings import alarms
from btcfs.training.splits import walk_forward
from btcfs.training.verdict import NONE, judge

pytest.importorskip("sklearn", reason="scikit-learn is in the extra 'train'")

MODELS = sorted(installed_plugins().models())


@pytest.fixture(scope="module")
def daily(shared_data: Path) -> TrainingSet:
    """The 47 features of the daily file and the direction of the next day, through the pipeline and a store."""
    plugins = installed_plugins()
    with connect("memory") as store:
        source = open_source("csv", plugins, {"path": str(shared_data / "bitstamp_btcusd_1d.csv.gz")})
        ingest = Ingest(store, source, plugins=plugins, repair_volume=True)
        ingest.historical(4000)
        create_views(store, ingest.feature_group, Label())
        return materialise(store, training_view(store))


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_no_model_is_said_to_have_skill_on_the_daily_market(name: str, daily: TrainingSet) -> None:
    """Walked forward, each model hits between .45 and .56 of the days; its interval holds the always-up rate, or it is said to lack skill."""
    split = walk_forward(daily.event_times, daily.known_at, folds=5)  # of some two years each

    found = assess(daily, installed_plugins().models()[name], split)

    evaluation = found.evaluation
    always_up = float((daily.change[split.tested] > 0).mean())
    rate = evaluation.wilson
    assert 0.45 < rate.value < 0.56
    assert rate.low < always_up < rate.high or judge(evaluation, found.findings).words == NONE
    assert judge(evaluation, found.findings).words == NONE
    assert alarms(found.findings) == []
