"""Backfills spread over engines and written to a Feast repository, in files and in a Postgres."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import attrs
import pandas as pd
import pytest

import servers
from btcfs.connection import connect, open_source
from btcfs.engines import Engine
from btcfs.instants import parse_instant
from btcfs.pipeline.ingest import Ingest
from btcfs.pipeline.markets import backfill_markets
from btcfs.plugins import installed_plugins
from btcfs.store import FeatureStore
from repositories import all_in_postgres, write_config
from spread_engines import OPTIONS, opened

pytest.importorskip("feast", reason="the extra btcfs[feast] is not installed")

START, END, NOW = map(parse_instant, ("2021-01-03T05:00Z", "2021-02-02T17:00Z", "2024-01-01"))
SYMBOLS = ("AAA-USD", "LONGER-USD")


@pytest.fixture(scope="module", params=OPTIONS)
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    with opened(request.param) as engine:
        yield engine


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    pytest.importorskip("psycopg", reason="the extra btcfs[feast-postgres] is not installed")
    with servers.postgres() as running:
        yield running


@pytest.fixture(params=["files", "postgres"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[FeatureStore]:
    in_files = request.param == "files"
    path = write_config(tmp_path) if in_files else all_in_postgres(tmp_path, request.getfixturevalue("port"))
    with connect("feast", path=path) as opened:
        yield opened


@pytest.mark.slow
def test_a_spread_backfill_gives_what_a_local_one_gives_elsewhere(engine: Engine, store: FeatureStore) -> None:
    """Markets computed on an engine and written to Feast read as those computed here and kept in memory, to the bit."""
    source = open_source("sample", installed_plugins(), {})
    there = Ingest(store, source, interval="1h", now=NOW, engine=engine, features=["close", "rsi_14", "sma_20"])
    here = attrs.evolve(there, store=connect("memory"), engine=None)

    spread = backfill_markets(there, SYMBOLS, START, END)
    local = [attrs.evolve(here, symbol=symbol).backfill(START, END) for symbol in SYMBOLS]
    again = backfill_markets(there, SYMBOLS, START, END)

    assert [report.inserted for report in spread.reports] == [report.inserted for report in local]
    assert spread.total("inserted") > 0
    assert again.total("unchanged") == spread.total("inserted")
    assert len(store.commits(there.feature_group)) == len(SYMBOLS)
    for group in (there.feature_group, there.candle_group):
        pd.testing.assert_frame_equal(store.read(group), here.store.read(group), check_exact=True)
