"""Every shipped model on the real daily market: none has skill, and none is said to have."""

from __future__ import annotations

import os
from functools import cache
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

DATA = Path(os.environ.get("BTCFS_SHARED_DATA") or Path(__file__).parents[3] / "shared" / "data")
FILE = DATA / "bitstamp_btcusd_1d.csv.gz"
MODELS = sorted(installed_plugins().models())


@cache
def daily() -> TrainingSet:
    """The 47 features of the daily file and the direction of the next day, through the pipeline and a store."""
    plugins = installed_plugins()
    with connect("memory") as store:
        source = open_source("csv", plugins, {"path": str(FILE)})
        ingest = Ingest(store, source, plugins=plugins, repair_volume=True)
        ingest.historical(4000)
        create_views(store, ingest.feature_group, Label())
        return materialise(store, training_view(store))


@pytest.mark.slow
@pytest.mark.skipif(not FILE.is_file(), reason=f"the daily market data are not at {FILE}; set BTCFS_SHARED_DATA")
@pytest.mark.parametrize("name", MODELS)
def test_no_model_is_said_to_have_skill_on_the_daily_market(name: str) -> None:
    """Walked forward, each model hits between .45 and .56 of the days; its interval holds the always-up rate, or it is said to lack skill."""
    data = daily()
    split = walk_forward(data.event_times, data.known_at)

    found = assess(data, installed_plugins().models()[name], split)

    evaluation = found.evaluation
    always_up = float((data.change[split.tested] > 0).mean())
    rate = evaluation.wilson
    assert 0.45 < rate.value < 0.56
    assert rate.low < always_up < rate.high or judge(evaluation, found.findings).words == NONE
    assert judge(evaluation, found.findings).words == NONE
    assert alarms(found.findings) == []
