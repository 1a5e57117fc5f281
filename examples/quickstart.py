"""The whole job in one file: ingest a synthetic market, then read history, a training frame and an online vector."""

from __future__ import annotations

import sys
from pathlib import Path

from btcfs import Label, connect
from btcfs.connection import open_source
from btcfs.pipeline.ingest import Ingest
from btcfs.pipeline.standard import create_views
from btcfs.plugins import installed_plugins


def main(folder: Path) -> None:
    source = open_source("sample", installed_plugins(), {"seed": 7})
    with connect("duckdb", path=folder) as store:
        ingest = Ingest(store, source)
        report = ingest.historical(days=365)
        views = create_views(store, ingest.feature_group, Label())
        print(f"{report.fetched} candles fetched, {report.inserted} rows of {report.features} features inserted")

        again = ingest.daily()
        print(f"a second run inserts {again.inserted} and updates {again.updated} rows")

        spine = store.read(ingest.feature_group, columns=["symbol", "event_time"])
        training = store.get_historical_features(views.training, spine)
        print(f"training frame: {len(training)} rows, {training.shape[1]} columns")

        [newest] = store.get_online_features(views.inference, [{"symbol": "BTC-USD"}])
        print(f"online vector of {len(newest.values)} numbers, known at {newest.event_time:%Y-%m-%d %H:%M} UTC")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else ".btcfs"))
