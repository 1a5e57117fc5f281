"""One program, two backends: the answers are the same."""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd

from btcfs import FeatureStore, connect
from btcfs.connection import open_source
from btcfs.pipeline.ingest import Ingest
from btcfs.plugins import installed_plugins


def features(store: FeatureStore) -> pd.DataFrame:
    """Sixty days of the sample market's features, stored and read again."""
    with store:
        ingest = Ingest(store, open_source("sample", installed_plugins(), {"seed": 7}))
        ingest.historical(days=60)
        return store.read(ingest.feature_group)


def main(folder: Path) -> None:
    embedded, reference = features(connect("duckdb", path=folder)), features(connect("memory"))
    pd.testing.assert_frame_equal(embedded, reference, check_exact=True)
    print(f"{len(embedded)} rows and {embedded.shape[1]} columns, equal bit for bit")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else ".btcfs-switching"))
