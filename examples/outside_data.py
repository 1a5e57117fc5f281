"""Three versions of a view: the standard features, then market mood added, then activity on the chain, each trained and judged.

The two files in ``examples/data`` are made up, so that the example needs no network and nothing can be read
from its scores. Yours come from wherever you like: what counts is *when each number was known*. Both are
published the day after the day they describe, and a row joins a candle only if it was known when that closed.
"""

from __future__ import annotations

import sys
import tempfile
from datetime import datetime, timezone
from pathlib import Path

import pandas as pd

import btcfs
from btcfs import Feature, FeatureGroup, FeatureStore, FeatureView, Label, connect
from btcfs.connection import open_source
from btcfs.pipeline.ingest import Ingest
from btcfs.plugins import installed_plugins

DATA = Path(__file__).parent / "data"
START, END = datetime(2023, 1, 1, tzinfo=timezone.utc), datetime(2024, 7, 1, tzinfo=timezone.utc)

SENTIMENT = FeatureGroup(
    name="market_sentiment",
    version=1,
    primary_key=["symbol", "timestamp"],
    features=[Feature("mood_index", "float64", unit="1", description="Fear (0) to greed (100).", bounds=(0, 100))],
    description="Daily mood of the market; updated daily; made up",
)
ON_CHAIN = FeatureGroup(
    name="chain_activity",
    version=1,
    primary_key=["symbol", "timestamp"],
    features=[
        Feature("active_addresses", "float64", unit="1", description="Addresses that took part in a transaction."),
        Feature("mean_fee_usd", "float64", unit="USD", description="Mean fee of a transaction."),
    ],
    description="Daily activity on the Bitcoin chain; updated daily; made up",
)


def main(folder: Path) -> None:
    source = open_source("sample", installed_plugins(), {"seed": 7})
    with connect("duckdb", path=folder / "store") as store:
        ingest = Ingest(store, source)
        ingest.backfill(START, END)
        put(store, SENTIMENT, pd.read_csv(DATA / "sentiment.csv").rename(columns={"index": "mood_index"}))
        put(store, ON_CHAIN, pd.read_csv(DATA / "on_chain.csv"))

        groups = [ingest.feature_group]
        for version, added in enumerate((None, SENTIMENT, ON_CHAIN), start=1):
            groups += [added] if added else []
            names = [name for group in groups for name in group.feature_names]
            view = FeatureView("with_outside_data", version, [group.ref for group in groups], names, Label())
            store.apply(view)
            report = btcfs.train(store, view=view, model=("logistic", "ridge"), models_dir=folder / "models", folds=3)
            verdict = report.verdicts["classification"]
            print(f"v{version}: {len(names)} features, {report.rows} rows, classification: {verdict}")


def put(store: FeatureStore, group: FeatureGroup, table: pd.DataFrame) -> None:
    """Store a table of days, each known from midnight a day after it ended."""
    day = pd.to_datetime(table.pop("date"), utc=True)
    store.apply(group)
    store.write(group, table.assign(symbol="BTC-USD", timestamp=day, event_time=day + pd.Timedelta(days=2)))


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as scratch:
            main(Path(scratch))
