"""Backfills of several markets in one command."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from btcfs.connection import connect, open_source
from btcfs.errors import ConfigError
from btcfs.pipeline.ingest import Ingest
from btcfs.pipeline.markets import backfill_markets
from btcfs.plugins import installed_plugins
from btcfs.sources import CandleRequest
from distributions import btcfs
from spread_engines import END, NOW, START, SYMBOLS, Gapped


@pytest.mark.parametrize(
    ("symbols", "message"), [([], "no symbol"), (["AAA-USD", "BBB-USD", "AAA-USD"], "named twice")]
)
def test_symbols_are_named_once(symbols: list[str], message: str) -> None:
    """No symbol, or one twice, is refused before anything is fetched."""
    with connect("memory") as store, pytest.raises(ConfigError, match=message):
        backfill_markets(Ingest(store, Gapped(), now=NOW), symbols, START, END)


def test_a_file_for_each_market(tmp_path: Path) -> None:
    """``{symbol}`` in the paths stands for each market named: its file is read, its bad candles go to a file of its own."""
    for seed, symbol in enumerate(SYMBOLS[:2]):
        request = CandleRequest(symbol, "1d", end=END, now=NOW)
        [frame] = open_source("sample", installed_plugins(), {"seed": seed}).fetch(request).frames
        frame.loc[2_000 + seed, "high"] = 0.0
        frame.drop(columns="quote_volume").to_csv(tmp_path / f"{symbol}.csv", index=False)
    line = ["ingest", "backfill", "--source", "csv", "--path", "{symbol}.csv", "--source-option", "last=keep"]
    line += ["--symbols", "aaa/usd,BBB-USD", "--start", "2020-01-01", "--end", "2021-03-01", "--json"]
    line += ["--quarantine", "bad-{symbol}.csv"]

    dry = btcfs(*line, "--dry-run", site=tmp_path, cwd=tmp_path)
    done = btcfs(*line, site=tmp_path, cwd=tmp_path)

    assert done.returncode == 0, done.stderr
    planned, report = json.loads(dry.stdout), json.loads(done.stdout)
    assert [one["symbol"] for one in report["symbols"]] == ["AAA-USD", "BBB-USD"]
    assert (report["inserted"], report["rejected"]) == (2 * 424, 2)
    assert (planned["inserted"], planned["partitions"]) == (report["inserted"], report["partitions"])
    for seed, symbol in enumerate(SYMBOLS[:2]):
        [bad] = pd.read_csv(tmp_path / f"bad-{symbol}.csv")["timestamp"]
        assert pd.Timestamp(bad) == pd.Timestamp("2015-01-01", tz="UTC") + pd.Timedelta(days=2_000 + seed)


def test_one_market_or_many_but_not_both(tmp_path: Path) -> None:
    """--symbol and --symbols together are a wrong usage."""
    dates = ["--start", "2020-01-01", "--end", "2021-03-01"]

    done = btcfs("ingest", "backfill", *dates, "--symbol", "A-B", "--symbols", "A-B", site=tmp_path, cwd=tmp_path)

    assert done.returncode == 2
    assert "--symbol and --symbols are both given" in done.stderr
