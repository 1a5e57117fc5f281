"""What predicting costs of a month's budget of Hopsworks, counted by the calls that reach it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest

pytest.importorskip("confluent_kafka", reason="the extra hopsworks-emulator is not installed")
pytest.importorskip("mysql_mimic", reason="the extra hopsworks-emulator is not installed")

from starlette.testclient import TestClient

from btcfs.pipeline.ingest import Ingest
from btcfs.serving import create_app
from btcfs.serving.prediction_log import METERED_SECONDS, PREDICTIONS, PredictionLog
from btcfs_hopsworks.emulator.application import Emulator
from hopsworks_opening import emulator as emulator
from hopsworks_opening import opening
from hopsworks_opening import untouched as untouched
from served import DAY, NOW, OneModel, bundle_for, filled, inference_view, market


def test_a_prediction_a_minute_costs_two_percent_of_the_budget(
    emulator: Emulator, frame_source: Callable[[pd.DataFrame], Any]
) -> None:
    """A month of 44,640 logged predictions, one commit and one write of the log a day, is at most 1,000 of 50,000 calls.

    The calls are those that the emulator received, and the store's own count is the same.
    """
    with opening(emulator) as store:
        source = frame_source(market(1_200, NOW + DAY))
        filled(store, source)
        app = create_app(store=store, models=OneModel(bundle_for(inference_view(store))))

        def received() -> int:
            return len(emulator.calls.calls("rest"))

        def predicted(client: TestClient) -> None:
            answer = client.post("/predict", json={})
            assert answer.status_code == 200, answer.text

        with TestClient(app) as client:
            predicted(client)  # the log's first write makes its group, once and for all
        begun = received(), store.usage().counts.calls
        with TestClient(app) as client:
            predicted(client)
            opened = received()
            for _ in range(120):
                predicted(client)
            assert received() == opened
            Ingest(store, source, now=NOW + DAY).daily()
            committed = received()
            predicted(client)
            missed = received()
        written = received()

        assert PredictionLog(store).interval == METERED_SECONDS == 86_400.0
        assert store.summary(PREDICTIONS).rows == 123
        assert received() - begun[0] == store.usage().counts.calls - begun[1]
        month = (opened - begun[0]) + 31 * ((missed - committed) + (written - missed))
        assert month <= 0.02 * 50_000
