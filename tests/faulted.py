"""A market in Hopsworks, its untroubled twin in memory, and the real flows on either, each within a bound of time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import attrs
import pandas as pd
from starlette.testclient import TestClient

from btcfs import memory
from btcfs.definitions import FeatureGroup, Label
from btcfs.errors import BtcfsError, StoreUnavailable
from btcfs.instants import parse_instant
from btcfs.pipeline.ingest import Ingest
from btcfs.pipeline.ingest_report import IngestReport
from btcfs.pipeline.standard import create_views
from btcfs.pipeline.verify import Verification
from btcfs.serving import create_app
from btcfs.store import FeatureStore
from btcfs.training.report import TrainingReport
from btcfs.training.train import train
from btcfs_hopsworks.emulator.application import Emulator
from btcfs_sources.sample import SampleMarket
from hopsworks_opening import project_options
from served import OneModel, bundle_for, inference_view

DAY = timedelta(days=1)
DAYS = 250
FIRST = parse_instant("2024-06-01T05:00Z")
TIMEOUT, WRITE_TIMEOUT = 1.0, 2.0
DEFAULTS = {"symbol": "BTC-USD"}


def settings(emulator: Emulator, folder: Path) -> dict[str, Any]:
    """How to open the emulator's project, with short deadlines."""
    return project_options(emulator, folder, timeout=TIMEOUT, write_timeout=WRITE_TIMEOUT, monthly_calls=10**9)


@attrs.define
class Scene:
    """Both stores hold the same days of one market, up to ``now``; ``client`` and ``right`` ask the same model over each.

    ``allowed`` is how many seconds each flow may take: every call that it makes on a good day may wait for its deadline.
    """

    emulator: Emulator
    store: FeatureStore
    twin: FeatureStore
    folder: Path
    now: datetime = FIRST
    allowed: dict[str, float] = attrs.field(factory=dict)
    trained: dict[str, TrainingReport] = attrs.field(factory=dict)
    client: TestClient = attrs.field(init=False)
    right: TestClient = attrs.field(init=False)

    def ingest(self, store: FeatureStore) -> IngestReport:
        """The candles of the days since the last run."""
        return self.pipeline(store).daily()

    def pipeline(self, store: FeatureStore) -> Ingest:
        return Ingest(store, SampleMarket(), features=("close", "rsi_14"), now=self.now)

    def train(self, store: FeatureStore, name: str) -> TrainingReport:
        """Models without skill, kept in a folder of that name; as much of training as touches the store."""
        return train(store, view="bitcoin_training_view", model="majority", models_dir=self.folder / name, folds=2)

    def predictions(self, client: TestClient) -> list[Any]:
        """The answers for the newest candle and for one of a week ago."""
        week_ago = (self.now - 7 * DAY).isoformat()
        return [client.post("/predict", json=body) for body in ({}, {"timestamp": week_ago})]

    @property
    def groups(self) -> tuple[FeatureGroup, FeatureGroup]:
        """The candles, and the features that come from them."""
        one = self.pipeline(self.twin)
        return one.candle_group, one.feature_group

    def failures(self) -> list[str]:
        """What ``btcfs verify`` finds wrong with the store."""
        one = self.pipeline(self.store)
        checks = Verification(self.store, one.plan, one.feature_group, one.candle_group, one.symbol, self.now).checks()
        return [check.message for check in checks if check.status == "failed"]

    def rows(self, store: FeatureStore) -> dict[str, pd.DataFrame]:
        """Every candle, and every row of features."""
        return {group.title: store.read(group) for group in self.groups}

    def newest(self) -> None:
        """Predict from the newest candle; StoreUnavailable while the predictor says that its store is."""
        answer = self.client.post("/predict", json={})
        if answer.status_code == 503:
            raise StoreUnavailable(answer.text)

    def source(self) -> str:
        """Which store a vector comes from now."""
        [vector] = self.store.get_online_features(inference_view(self.twin), [DEFAULTS])
        return str(vector.source)

    def until(self, holds: Callable[[], bool]) -> None:
        """Returns once it holds, after a fault; within what an ingestion may take."""
        until = time.monotonic() + self.allowed["ingest"]
        while not holds():
            assert time.monotonic() < until, "the store did not come back"
            time.sleep(0.05)

    def untroubled_training(self) -> TrainingReport:
        """What training gives on the twin's present days."""
        name = f"right {self.now:%Y-%m-%d}"
        if name not in self.trained:
            self.trained[name] = self.train(self.twin, name)
        return self.trained[name]

    def attempt(self, flow: str, act: Callable[[], Any]) -> Any:
        """What it returned, or the error of ours that it raised; within what the flow is allowed."""
        begun = time.monotonic()
        try:
            return act()
        except BtcfsError as exc:
            return exc
        finally:
            assert time.monotonic() - begun < self.allowed[flow], flow

    def settled(self, act: Callable[[], Any]) -> Any:
        """What it returns once the fault is over; connections that were broken may take another try."""
        until = time.monotonic() + self.allowed["ingest"]
        while True:
            try:
                return act()
            except StoreUnavailable:
                if time.monotonic() > until:
                    raise
                time.sleep(0.05)

    def timed(self, flow: str, act: Callable[[], Any]) -> Any:
        """Do it on a good day, and allow it from then on every call's deadline."""
        before = len(self.emulator.calls.calls())
        done = act()
        self.allowed[flow] = (len(self.emulator.calls.calls()) - before) * TIMEOUT + 2 * WRITE_TIMEOUT
        return done


@contextmanager
def scene(emulator: Emulator, store: FeatureStore, folder: Path) -> Iterator[Scene]:
    """The scene with its first days ingested, and a predictor over each store."""
    with memory.connect(defaults=DEFAULTS) as twin:
        made = Scene(emulator, store, twin, folder)
        for each in (twin, store):
            made.pipeline(each).historical(DAYS)
            create_views(each, made.pipeline(each).feature_group, Label())
        models = OneModel(bundle_for(inference_view(twin)))
        # Without a cache of vectors, so that each prediction needs the store.
        apps = [create_app(store=each, models=models, log_predictions=False, most_vectors=0) for each in (store, twin)]
        with TestClient(apps[0]) as made.client, TestClient(apps[1]) as made.right:
            made.now += DAY
            made.ingest(twin)
            made.timed("ingest", lambda: made.ingest(store))
            made.timed("train", lambda: made.train(store, "first"))
            made.timed("predict", lambda: made.predictions(made.client))
            yield made


def told(answers: list[Any]) -> list[dict[str, Any]]:
    """What predictions say about the market, without how they came about."""
    names = ("timestamp", "as_of", "classification", "regression")
    return [{name: answer.json()[name] for name in names} for answer in answers]
