"""The guide's whole workflow on Hopsworks, by the same calls as on the embedded default, and with the same numbers."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pandas as pd
import pytest

pytest.importorskip("confluent_kafka", reason="the extra hopsworks-emulator is not installed")
pytest.importorskip("mysql_mimic", reason="the extra hopsworks-emulator is not installed")

from starlette.testclient import TestClient

from btcfs import BitcoinFeatureStore, FeatureStorePredictor
from btcfs.config import Config
from btcfs.connection import connect
from btcfs.definitions import TIME_KEY, FeatureGroup
from btcfs.models import ModelKind
from btcfs.pipeline.ingest import Ingest
from btcfs.serving import create_app
from btcfs.store import FeatureStore
from btcfs.training.registry import Registry
from btcfs.training.train import train
from btcfs_hopsworks.emulator.application import Emulator
from hopsworks_opening import project_options
from served import DAY, NOW, OneModel, candle_json, market
from trained import KINDS

pytest_plugins = ["btcfs_hopsworks.testing"]
Source = Callable[[pd.DataFrame], Any]


def small(name: str) -> ModelKind:
    """The model of that name, with few enough trees to fit in a blink."""
    return attrs.evolve(KINDS[name], build=partial(KINDS[name].build, max_iter=3))


def workflow(config: Config, source: Source, folder: Path) -> dict[str, Any]:
    """Everything that the guide does, and what came of it."""
    candles = market(1_200, NOW + DAY)
    with connect(config=config) as store:
        first = Ingest(store, source(candles), now=NOW).historical(365)
        fs = BitcoinFeatureStore(store=store, config=config, models_dir=folder / "models")
        fs.connect(strict=True)
        view = fs.create_feature_view("bitcoin_training_view", version=1)
        second = Ingest(store, source(candles), now=NOW + DAY).daily()
        X, y = fs.get_training_data(view)
        models = {
            "classification": small("hist_gradient_boosting"),
            "regression": small("hist_gradient_boosting_regressor"),
        }
        report = train(store, view=view.view, models=models, models_dir=folder / "models", folds=2)
        bundle = Registry(folder / "models").load(report.version)
        app = create_app(store=store, models=OneModel(bundle), log_predictions=False)
        with TestClient(app) as client:
            answers = [client.post("/predict", json=asked).json() for asked in ({}, candle_json(candles, -2))]
        served = [{name: answer[name] for name in ("timestamp", "classification", "regression")} for answer in answers]
        batch = fs.get_batch_data(view, start_time=NOW - 30 * DAY)
        times = list(batch[TIME_KEY].iloc[-3:])
        vectors = view.get_feature_vectors([{TIME_KEY: t.to_pydatetime()} for t in times])
        newest = fs.get_online_features(view)
        predictor = FeatureStorePredictor(store=store, config=config)
        row = candles[candles["timestamp"] == times[-1]].iloc[0]
        body = {n: float(row[n]) for n in ("open", "high", "low", "close", "volume")}
        predicted = predictor.get_features_for_prediction({**body, "timestamp": times[-1].to_pydatetime()})
        statistics = fs.compute_statistics(fs.create_bitcoin_features_fg())
        monitoring = dict(fs.get_feature_monitoring("bitcoin_features"))
        newer = fs.create_bitcoin_features_fg(version=2, description="Added sentiment features")
        enhanced = store.read(fs.create_bitcoin_features_fg().definition).tail(40)
        third = fs.ingest_features(enhanced.drop(columns="symbol").assign(sentiment=0.5), newer)
        again = fs.get_feature_monitoring("bitcoin_features", 2)["total_records"]
        deleted = fs.delete_feature_group("bitcoin_features", version=2)
        return {
            "rows": (first.inserted, second.inserted, third.inserted, again, deleted),
            "names": [d.title for d in store.definitions()],
            "features": store.read(_group(store)),
            "training": X,
            "labels": y,
            "scores": report.to_dict()["tasks"],
            "served": served,
            "batch": batch,
            "vectors": np.array(vectors, dtype="float64"),
            "newest": pd.Series(newest),
            "predicted": predicted,
            "statistics": statistics,
            "monitoring": (monitoring["total_records"], monitoring["missing_pct"]),
        }


def _group(store: FeatureStore) -> FeatureGroup:
    return next(d for d in store.definitions() if d.title == "bitcoin_features v1")


def same(one: Any, other: Any) -> bool:
    """Frames and arrays to 1e-9, everything else exactly."""
    if isinstance(one, pd.DataFrame):
        pd.testing.assert_frame_equal(one, other, rtol=1e-9, atol=1e-9)
        return True
    if isinstance(one, pd.Series):
        pd.testing.assert_series_equal(one, other, rtol=1e-9, atol=1e-9)
        return True
    if isinstance(one, np.ndarray):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-9)
        return True
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[name], other[name]) for name in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, float):
        return bool(other == pytest.approx(one, rel=1e-9, abs=1e-9, nan_ok=True))
    return bool(one == other)


def test_the_guides_workflow_gives_the_same_numbers(
    hopsworks_emulator: Emulator, frame_source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With nothing but the configuration changed, every step gives on Hopsworks what it gives on DuckDB."""
    monkeypatch.chdir(tmp_path)
    embedded = Config(backend="duckdb", backends={"duckdb": {"path": str(tmp_path / "store")}})
    remote = Config(backend="hopsworks", backends={"hopsworks": project_options(hopsworks_emulator, tmp_path)})

    expected = workflow(embedded, frame_source, tmp_path / "duckdb")
    found = workflow(remote, frame_source, tmp_path / "hopsworks")

    assert expected["rows"][:2] == (365, 1)
    assert [name for name in expected if not same(found[name], expected[name])] == []
    assert {"classification", "regression"} == set(expected["scores"])
