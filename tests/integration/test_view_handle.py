"""The keys that a view's handle takes: open times, instants inside a candle, weeks, and what is no key."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from btcfs.bitcoin.handles import ViewHandle
from btcfs.connection import connect
from btcfs.definitions import Feature, FeatureGroup, FeatureView
from btcfs.errors import NotFound, SchemaError
from btcfs.store import FeatureStore

COUNT = 40
MONDAY = datetime(2024, 1, 1, tzinfo=timezone.utc)
STEPS = {"1h": timedelta(hours=1), "1d": timedelta(days=1), "1w": timedelta(weeks=1)}


@pytest.fixture(params=["memory", "duckdb"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[FeatureStore]:
    options: dict[str, Any] = {} if request.param == "memory" else {"path": tmp_path / "store"}
    with connect(request.param, **options) as opened:
        yield opened


def handle(store: FeatureStore, interval: str) -> ViewHandle:
    """A view whose only feature counts the candles from a Monday on."""
    group = FeatureGroup("counted", 1, [Feature("n")], interval=interval)
    view = FeatureView("of_counted", 1, [group.ref], ["n"])
    store.apply(group)
    store.apply(view)
    times = [MONDAY + number * STEPS[interval] for number in range(COUNT)]
    store.write(group, pd.DataFrame({"symbol": "BTC-USD", "timestamp": times, "n": np.arange(float(COUNT))}))
    return ViewHandle(store, view, "BTC-USD")


@pytest.mark.parametrize("interval", STEPS)
def test_an_instant_inside_a_candle_is_its_candle(store: FeatureStore, interval: str) -> None:
    """Open times and all instants before the next one, as times of any zone and as texts, alone and together."""
    view, step = handle(store, interval), STEPS[interval]
    for number in (0, 7, COUNT - 1):
        first = MONDAY + number * step
        for instant in (first, first + step / 3, first + step - timedelta(microseconds=1)):
            for key in (instant, instant.astimezone(timezone(timedelta(hours=5))), instant.isoformat()):
                assert view.get_feature_vector({"timestamp": key}).tolist() == [number]
                assert [v.tolist() for v in view.get_feature_vectors([{"timestamp": key}] * 2)] == [[number]] * 2
    assert view.get_feature_vector({}).tolist() == [COUNT - 1]


def test_a_group_made_anew_with_other_candles(store: FeatureStore) -> None:
    """A handle that was used before floors to the candles that are stored now."""
    view = handle(store, "1h")
    assert view.get_feature_vector({"timestamp": MONDAY + timedelta(minutes=90)}).tolist() == [1.0]
    for definition in reversed(store.definitions()):
        store.delete(definition)
    handle(store, "1d")
    assert view.get_feature_vector({"timestamp": MONDAY + timedelta(hours=49)}).tolist() == [2.0]


def test_what_is_no_key(store: FeatureStore) -> None:
    """A candle that is not stored, an unknown column, a naive time and a number are refused by name."""
    view = handle(store, "1d")
    for instant in (MONDAY - timedelta(seconds=1), MONDAY + COUNT * STEPS["1d"]):
        with pytest.raises(NotFound, match="no row"):
            view.get_feature_vector({"timestamp": instant})
        assert view.get_feature_vectors([{"timestamp": instant}, {}], missing="null")[0] is None
        assert len(view.get_feature_vectors([{"timestamp": instant}, {}], missing="skip")) == 1
    with pytest.raises(SchemaError, match="unknown exchange"):
        view.get_feature_vector({"exchange": "bitstamp"})
    with pytest.raises(SchemaError, match="no time zone"):
        view.get_feature_vector({"timestamp": MONDAY.replace(tzinfo=None)})
    with pytest.raises(SchemaError, match="not a time"):
        view.get_feature_vector({"timestamp": 17})
