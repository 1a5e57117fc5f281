"""Backfills spread over engines: the same stores as without one, bounded, and nothing half written whatever fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pandas as pd
import pytest

from btcfs import indicator
from btcfs.connection import connect, open_source
from btcfs.engines import Engine, Pending
from btcfs.errors import ConfigError, SchemaError
from btcfs.hookspecs import hookimpl
from btcfs.indicators import Indicator
from btcfs.instants import parse_instant
from btcfs.pipeline import spread
from btcfs.pipeline.ingest import Ingest
from btcfs.pipeline.markets import backfill_markets
from btcfs.plugins import Plugins, installed_plugins
from btcfs.sources import CandleRequest, Fetched
from btcfs.store import FeatureStore
from spread_engines import END, NOW, OPTIONS, START, SYMBOLS, Gapped, opened


@pytest.fixture(scope="module", params=OPTIONS)
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    with opened(request.param) as engine:
        yield engine


@pytest.fixture(params=["memory", "duckdb"])
def stores(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[FeatureStore, FeatureStore]]:
    """Two empty stores of one backend."""
    options = [{"path": tmp_path / name} if request.param == "duckdb" else {} for name in ("spread", "local")]
    with connect(request.param, **options[0]) as one, connect(request.param, **options[1]) as other:
        yield one, other


def assert_same_rows(one: FeatureStore, other: FeatureStore, ingest: Ingest) -> None:
    """Features and candles are equal bit for bit, NaN being NaN."""
    for group in (ingest.feature_group, ingest.candle_group):
        left, right = one.read(group), other.read(group)
        assert len(left) > 0
        pd.testing.assert_frame_equal(left, right, check_exact=True)
        for name in group.feature_names:
            assert np.array_equal(left[name].to_numpy().view("int64"), right[name].to_numpy().view("int64")), name


def test_a_spread_backfill_gives_the_store_of_a_local_one(
    engine: Engine, stores: tuple[FeatureStore, FeatureStore]
) -> None:
    """Many markets, an odd range, gaps, one market with less history than a lookback: the same bits, one commit each."""
    spread_store, local_store = stores
    here = Ingest(local_store, Gapped(), interval="15m", now=NOW)
    there = attrs.evolve(here, store=spread_store, engine=engine)

    report = backfill_markets(there, SYMBOLS, START, END)
    local = [attrs.evolve(here, symbol=symbol).backfill(START, END) for symbol in SYMBOLS]

    assert report.total("partitions") > len(SYMBOLS)
    assert [r.inserted for r in report.reports] == [r.inserted for r in local]
    assert [r.warmup_rows for r in report.reports] == [r.warmup_rows for r in local]
    assert report.reports[2].warmup_rows > 0
    assert len(spread_store.commits(there.feature_group)) == len(SYMBOLS)
    assert_same_rows(spread_store, local_store, here)


def test_a_correction_reaches_as_far_as_locally(engine: Engine, stores: tuple[FeatureStore, FeatureStore]) -> None:
    """Doing it again changes nothing; restated candles rewrite the same rows with and without an engine."""
    spread_store, local_store = stores
    here = Ingest(local_store, Gapped(), interval="1h", symbol="AAA-USD", now=NOW)
    there = attrs.evolve(here, store=spread_store, engine=engine)
    for ingest in (here, there):
        ingest.backfill(START, END)
    again = there.backfill(START, END)

    restated = attrs.evolve(here, source=Restated())
    reports = [attrs.evolve(restated, store=i.store, engine=i.engine).backfill(START, END) for i in (there, here)]

    assert (again.inserted, again.updated, again.commit_id) == (0, 0, None)
    assert reports[0].updated == reports[1].updated > 10
    assert_same_rows(spread_store, local_store, here)


@attrs.define
class Restated:
    """The gapped market after the exchange doubled one volume."""

    name: str = "restated"

    def fetch(self, request: CandleRequest) -> Fetched:
        fetched = Gapped().fetch(request)
        [frame] = fetched.frames
        row = frame.index[frame["timestamp"] >= pd.Timestamp(START)][50]
        frame.loc[row, "volume"] *= 2
        return Fetched([frame], fetched.report)


@pytest.mark.parametrize(
    ("interval", "file"), [("1d", "bitstamp_btcusd_1d.csv.gz"), ("1h", "bitstamp_btcusd_1h.csv.gz")]
)
def test_real_candles(engine: Engine, shared_data: Path, interval: str, file: str) -> None:
    """Bitstamp's days and hours, all that there are, give the same bits on an engine as in this process."""
    source = open_source("csv", installed_plugins(), {"path": str(shared_data / file)})
    end = parse_instant("2022-08-19")
    with connect("memory") as one, connect("memory") as other:
        here = Ingest(other, source, interval=interval, repair_volume=True, now=NOW)
        first = attrs.evolve(here, store=one, engine=engine).backfill(parse_instant("2014-12-01"), end)
        here.backfill(parse_instant("2014-12-01"), end)

        assert first.engine == engine.name
        assert first.inserted > 2_000
        assert_same_rows(one, other, here)


def test_a_dry_run_tells_the_plan_and_writes_nothing(engine: Engine) -> None:
    """A dry run counts partitions, rows and overlap, and leaves the store empty."""
    with connect("memory") as store:
        ingest = Ingest(store, Gapped(), interval="15m", now=NOW, engine=engine, dry_run=True)
        report = backfill_markets(ingest, SYMBOLS, START, END).to_dict()

        assert report["inserted"] > 5_000
        assert report["partitions"] >= len(SYMBOLS)
        assert report["overlap"] >= 1_024
        assert list(store.definitions()) == []


@attrs.define
class Counting:
    """An engine that counts which results are in flight: submitted, and not yet let go of by the next one taken."""

    inner: Engine
    name: str = "counting"
    out: int = 0
    most: int = 0
    total: int = 0

    @property
    def workers(self) -> int:
        return self.inner.workers

    @property
    def in_flight(self) -> int:
        return self.inner.in_flight

    def submit(self, function: Callable[[Any], Any], task: Any) -> Pending[Any]:
        self.out += 1
        self.total += 1
        self.most = max(self.most, self.out)
        return Counted(self, self.inner.submit(function, task))

    def close(self) -> None:
        self.inner.close()


@attrs.define
class Counted:
    engine: Counting
    pending: Pending[Any]

    def result(self) -> Any:
        answer = self.pending.result()
        self.engine.out -= 1
        return answer

    def cancel(self) -> None:
        self.pending.cancel()


def test_the_driver_holds_a_few_results_at_most(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many partitions there are, no more are in flight than the engine says, whichever market they are of."""
    monkeypatch.setattr(spread, "LEAST_ROWS", 1)
    monkeypatch.setattr(spread, "STREAM_ROWS", 300)
    counting = Counting(engine)
    with connect("memory") as store:
        backfill_markets(Ingest(store, Gapped(), interval="1d", now=NOW, engine=counting), SYMBOLS[:2], *YEARS)

    assert counting.total > 2 * engine.in_flight
    assert counting.most <= engine.in_flight


YEARS: tuple[datetime, datetime] = (parse_instant("2016-01-01"), parse_instant("2023-01-01"))


@indicator(lookback=0)
def planted(close: Any) -> Any:
    """Twice the close, of a plugin that only this program has."""
    return close * 2


class Planted:
    @hookimpl
    def btcfs_indicators(self) -> list[Any]:
        return [planted]


class Replaced:
    """The plugin ``ta`` with one indicator changed."""

    def __init__(self, change: Callable[[Indicator], Indicator]) -> None:
        self.change = change

    @hookimpl
    def btcfs_indicators(self) -> list[Any]:
        return [self.change(i) if i.name == "rsi" else i for i in installed_plugins(()).indicators()]


def refused(engine: Engine, plugins: Plugins, features: list[str]) -> str:
    """What a backfill of these features is refused with; the store stays empty."""
    with connect("memory") as store:
        ingest = Ingest(store, Gapped(), interval="1h", now=NOW, engine=engine, plugins=plugins, features=features)
        with pytest.raises(ConfigError) as caught:
            ingest.backfill(START, END)
        assert list(store.definitions()) == []
    return str(caught.value)


def test_a_plugin_that_the_workers_lack_is_named(engine: Engine) -> None:
    """An indicator that no plugin of the workers gives is refused, with its plugin and the worker."""
    plugins = Plugins()
    plugins.register(Planted(), "planted")

    message = refused(engine, plugins, ["close", "planted"])

    assert "no plugin named 'planted'" in message
    assert "BTC-USD" in message
    assert "worker" in message


def test_another_definition_on_the_workers_is_refused(engine: Engine) -> None:
    """A plugin of another version is told by the hash of its definition."""
    plugins = Plugins(["ta"])
    plugins.register(Replaced(lambda i: attrs.evolve(i, version="2")), "ta")

    assert "another definition of indicator rsi(period=14)" in refused(engine, plugins, ["close", "rsi_14"])


def test_other_bits_of_one_definition_are_refused(engine: Engine) -> None:
    """A worker whose library gives other bits, though all definitions are alike, computes nothing."""
    plugins = Plugins(["ta"])
    plugins.register(Replaced(lambda i: attrs.evolve(i, function=slightly_other)), "ta")

    assert "computes rsi_14 with other bits" in refused(engine, plugins, ["close", "rsi_14"])


def slightly_other(close: Any, *, period: int) -> Any:
    return np.nextafter(np.append(np.full(period, np.nan), close[period:]), 0)


def test_a_refused_market_leaves_its_wave_unwritten(engine: Engine) -> None:
    """Bad candles of a market stop the run before anything of the markets fetched with it is written."""

    class Bad(Gapped):
        def fetch(self, request: CandleRequest) -> Fetched:
            fetched = super().fetch(request)
            [frame] = fetched.frames
            if request.symbol == "BBB-USD":
                frame.loc[40, "close"] = -1.0
            return Fetched([frame], fetched.report)

    with connect("memory") as store:
        with pytest.raises(SchemaError):
            backfill_markets(Ingest(store, Bad(), interval="1h", now=NOW, engine=engine), SYMBOLS, START, END)

        assert list(store.definitions()) == []
