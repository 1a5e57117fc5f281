"""Backfills spread over engines: the same stores as without one, bounded, and nothing half written whatever fails."""

from __future__ import annotations

import json
import multiprocessing
import signal
import sys
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
from btcfs.errors import ConfigError, SchemaError, StoreUnavailable
from btcfs.hookspecs import hookimpl
from btcfs.indicators import Indicator
from btcfs.instants import parse_instant
from btcfs.pipeline import spread
from btcfs.pipeline.ingest import Ingest
from btcfs.pipeline.markets import backfill_markets
from btcfs.plugins import Plugins, installed_plugins
from btcfs.processes import Processes
from btcfs.sources import CandleRequest, Fetched
from btcfs.store import FeatureStore
from distributions import btcfs, command, install
from spread_engines import OPTIONS, command_line, needed, opened

START, END, NOW = map(parse_instant, ("2021-01-03T05:00Z", "2021-03-02T17:00Z", "2024-01-01"))
SYMBOLS = ("AAA-USD", "BBB-USD", "CCC-USD")


@attrs.define
class Gapped:
    """The sample market with holes in it: single candles, and ten days; ``CCC-USD`` opens shortly before the end."""

    name: str = "gapped"

    def fetch(self, request: CandleRequest) -> Fetched:
        fetched = open_source("sample", installed_plugins(), {}).fetch(request)
        frame = pd.concat(list(fetched.frames), ignore_index=True)
        times = frame["timestamp"]
        kept = np.random.default_rng(3).random(len(frame)) > 0.002
        kept &= ~times.between(pd.Timestamp("2021-01-20", tz="UTC"), pd.Timestamp("2021-01-30", tz="UTC"))
        if request.symbol == "CCC-USD":
            kept &= times >= pd.Timestamp("2021-02-20", tz="UTC")
        return Fetched([frame[kept].reset_index(drop=True)], fetched.report)


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


FAULTY = """
import os
from btcfs import hookimpl, indicator

@indicator(lookback=0)
def faulty(timestamp, close):
    "Does something bad from 2023 on."
    if timestamp[-1] > 1_672_531_200_000_000:
        {deed}
    return close * 2

@hookimpl
def btcfs_indicators():
    return [faulty]
"""


@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize(
    ("deed", "code", "cause"),
    [("raise OSError('planted fault')", 3, "OSError: planted fault"), ("os._exit(9)", 4, "lost the features")],
)
def test_a_task_that_fails_is_named_and_leaves_the_store_alone(
    name: str, deed: str, code: int, cause: str, tmp_path: Path
) -> None:
    """Symbol, range and cause are told, markets before stay whole, nothing of the failing one is visible."""
    needed(name)
    site = tmp_path / "site"
    site.mkdir()
    install(site, "btcfs-faulty", "btcfs_faulty", FAULTY.format(deed=deed), btcfs="faulty")
    (tmp_path / "btcfs.toml").write_text('features = ["close", "faulty"]\n')
    begin = ["ingest", "backfill", "--source", "sample", "--start", "2022-01-01", "--symbols", "AAA-USD,BBB-USD"]

    done = btcfs(*begin, "--end", "2022-06-01", *command_line(name), site=site, cwd=tmp_path)
    failed = btcfs(*begin, "--end", "2023-06-01", *command_line(name), site=site, cwd=tmp_path)

    assert done.returncode == 0, done.stderr
    assert failed.returncode == code, failed.stderr
    assert cause in failed.stderr
    assert "AAA-USD, 2022-01-01 00:00 to 2023-05-31 00:00" in failed.stderr
    with connect("duckdb", path=tmp_path / ".btcfs") as store:
        for definition in store.definitions():
            if definition.name.startswith("bitcoin"):
                rows = store.read(definition)
                assert rows["timestamp"].max() == pd.Timestamp("2022-05-31", tz="UTC")


def test_a_lost_worker_process_is_told() -> None:
    """A worker that is killed between tasks does not leave the driver waiting."""
    engine = Processes(workers=1)
    try:
        with connect("memory") as store:
            ingest = Ingest(store, Gapped(), interval="1h", now=NOW, engine=engine)
            ingest.backfill(START, END)
            for child in multiprocessing.active_children():
                child.kill()
                child.join()
            with pytest.raises(StoreUnavailable, match="lost the features of BTC-USD, 2021-03-02"):
                ingest.backfill(END, parse_instant("2021-04-01"))
    finally:
        engine.close()


KILLED = """
import os, signal, sys
from btcfs.connection import connect, open_source
from btcfs.instants import parse_instant
from btcfs.pipeline.ingest import Ingest
from btcfs.pipeline.markets import backfill_markets
from btcfs.plugins import installed_plugins
from btcfs.processes import Processes

class Deadly:
    name, workers, in_flight, taken = "deadly", 2, 4, 0
    def __init__(self):
        self.inner = Processes(workers=2)
    def submit(self, function, task):
        return Promise(self, self.inner.submit(function, task))

class Promise:
    def __init__(self, engine, inner):
        self.engine, self.inner = engine, inner
    def result(self):
        answer = self.inner.result()
        self.engine.taken += 1
        if self.engine.taken == int(sys.argv[1]):
            os.kill(os.getpid(), signal.SIGKILL)
        return answer
    def cancel(self):
        self.inner.cancel()

if __name__ == "__main__":
    with connect("duckdb", path="store") as store:
        source = open_source("sample", installed_plugins(), {})
        ingest = Ingest(store, source, interval="1h", engine=Deadly())
        backfill_markets(ingest, ["AAA-USD", "BBB-USD"], parse_instant("2021-01-01"), parse_instant("2022-01-01"))
"""


@pytest.mark.parametrize(("result", "whole"), [(2, 0), (4, 1)])
def test_killing_the_driver_leaves_whole_markets(result: int, whole: int, tmp_path: Path) -> None:
    """After SIGKILL in a market's second result the store has the markets before, complete, and nothing of that one."""
    (tmp_path / "child.py").write_text(KILLED)

    done = command([sys.executable, "child.py", str(result)], tmp_path, tmp_path)

    assert done.returncode == -signal.SIGKILL, done.stderr
    with connect("duckdb", path=tmp_path / "store") as store:
        rows = {d.name: len(store.read(d)) for d in store.definitions() if d.name.startswith("bitcoin")}
        assert rows["bitcoin_features_1h"] == whole * 8_760
        assert (rows["bitcoin_candles_1h"] > 8_760) == bool(whole)


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
