"""The rule that a training's report says how often what it read was changed after it was first stored."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from btcfs import connect
from btcfs.definitions import Feature, FeatureGroup
from btcfs.training.restated import restated_rows

GROUP = FeatureGroup(
    name="prices",
    version=1,
    primary_key=["symbol", "timestamp"],
    interval="1d",
    features=[Feature("close", "float64", unit="USD")],
    description="closes",
)


def rows(closes: list[float]) -> pd.DataFrame:
    times = pd.date_range("2024-01-01", periods=len(closes), freq="D", tz="UTC")
    return pd.DataFrame({"symbol": "BTC-USD", "timestamp": times, "close": closes})


def test_only_changes_of_stored_rows_count(tmp_path: Path) -> None:
    """New rows and equal ones are no restatements; a row that changes twice counts twice."""
    with connect("duckdb", path=tmp_path / "store") as store:
        store.apply(GROUP)
        assert restated_rows(store, GROUP) == 0
        for closes in ([1.0, 2.0, 3.0], [1.0, 2.0, 3.0, 4.0], [1.0, 9.0, 8.0, 4.0], [1.0, 10.0, 8.0, 4.0]):
            store.write(GROUP, rows(closes))

        assert restated_rows(store, GROUP) == 3


def test_a_store_that_does_not_count_says_nothing() -> None:
    """A backend that does not tell the rows of its commits leads to no number, rather than to a wrong one."""
    with connect("memory") as store:
        store.apply(GROUP)
        store.write(GROUP, rows([1.0]))

        assert restated_rows(store, GROUP) is None
