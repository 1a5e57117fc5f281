"""The vector cache, windows and the prediction log, apart from HTTP."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from btcfs import memory
from btcfs.catalogue import find_group
from btcfs.connection import connect
from btcfs.definitions import TIME_KEY
from btcfs.errors import InsufficientHistory, NotFound, SchemaError, StoreBusy
from btcfs.instants import now, to_micros
from btcfs.online.cache import VectorCache
from btcfs.online.windows import get_feature_window
from btcfs.serving.prediction_log import PREDICTIONS, Logged, PredictionLog
from btcfs.store import FeatureVector
from served import filled, inference_view, market

WRITER = """
import sys, time
from btcfs.connection import connect
from btcfs.catalogue import find_group
with connect("duckdb", path=sys.argv[1]) as store:
    group = find_group(store.definitions(), "bitcoin_features")
    rows = store.read(group)
    for number in range(int(sys.argv[2])):
        floats = {f.name: float(number) for f in group.features if f.dtype == "float64"}
        store.write(group, rows.assign(**floats).tail(3))
        print(number, flush=True)
        time.sleep(float(sys.argv[3]))  # the pace of commits that the test asks for
"""


class Counting:
    """A store that counts its reads and takes its time for them."""

    def __init__(self, store: Any) -> None:
        self.store = store
        self.reads = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)

    def get_online_features(self, view: Any, keys: Any) -> list[FeatureVector]:
        self.reads += 1
        time.sleep(0.05)  # long enough for the other threads to arrive
        found: list[FeatureVector] = self.store.get_online_features(view, keys)
        return found


@pytest.fixture(params=["memory", "duckdb"])
def store(request: pytest.FixtureRequest, tmp_path: Path, frame_source: Callable[..., Any]) -> Iterator[Any]:
    options = {"path": tmp_path / "store"} if request.param == "duckdb" else {}
    with connect(request.param, defaults={"symbol": "BTC-USD"}, **options) as opened:
        filled(opened, frame_source(market(900)), days=30)
        yield opened


def test_many_threads_that_ask_for_one_key_read_it_once(store: Any) -> None:
    """There is no stampede: while one reads, the others wait for what it finds."""
    counting = Counting(store)
    cache = VectorCache(counting, inference_view(store))

    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(lambda _: cache.get("BTC-USD")[0], range(64)))

    assert counting.reads == 1
    assert len({id(known) for known in found}) == 1


def test_the_cache_stays_within_its_capacity(store: Any) -> None:
    """The oldest entries go first."""
    view = inference_view(store)
    window = get_feature_window(store, view, "BTC-USD", 10)
    counting = Counting(store)
    cache = VectorCache(counting, view, capacity=4)

    for _ in range(2):
        for time_ in window.timestamps:
            cache.get("BTC-USD", to_micros(time_))

    assert counting.reads == 20


def test_huge_values_are_neither_missing_nor_warned_of(store: Any) -> None:
    """A vector of the greatest numbers is whole, and looking at it makes no noise."""
    group = find_group(store.definitions(), "bitcoin_features")
    rows = store.read(group).tail(1)
    store.write(group, rows.assign(sma_10=1e300, sma_20=-1e300, sma_50=np.nan))

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        known, _ = VectorCache(store, inference_view(store)).get("BTC-USD")

    assert known.missing == ("sma_50",)


def test_a_missing_key_is_not_kept(store: Any) -> None:
    """A key that is not there may be the next moment."""
    cache = VectorCache(store, inference_view(store))

    with pytest.raises(NotFound):
        cache.get("ETH-USD")
    with pytest.raises(NotFound):
        cache.get("ETH-USD")
    assert cache.misses == 2


def test_a_commit_to_another_group_ends_no_entry(store: Any) -> None:
    """The log's own commits, and statistics, leave the vectors alone."""
    cache = VectorCache(store, inference_view(store))
    cache.get("BTC-USD")
    store.apply(PREDICTIONS)
    log = PredictionLog(store)
    log.add(logged("one"))
    log.flush()

    assert cache.get("BTC-USD")[1] is True


def test_a_window_spans_a_gap_as_rows_do(store: Any) -> None:
    """Where candles are missing, the window has the last n rows that there are."""
    view = inference_view(store)
    everything = get_feature_window(store, view, "BTC-USD", 30)
    single = [store.get_online_features(view, [{"symbol": "BTC-USD", TIME_KEY: t}])[0] for t in everything.timestamps]

    assert everything.values.tobytes() == np.array([v.values for v in single]).tobytes()
    with pytest.raises(InsufficientHistory, match="at least 31"):
        get_feature_window(store, view, "BTC-USD", 31)
    with pytest.raises(SchemaError, match="from 1 to"):
        get_feature_window(store, view, "BTC-USD", 0)


def test_gaps_are_left_out(frame_source: Callable[..., Any]) -> None:
    """A window over candles with holes gives the stored ones, the newest last."""
    candles = market(900)
    holes = candles.drop(index=[880, 881, 890])
    store = memory.connect(defaults={"symbol": "BTC-USD"})
    filled(store, frame_source(holes), days=60)

    window = get_feature_window(store, inference_view(store), "BTC-USD", 40)

    assert [t for t in window.timestamps] == [t.to_pydatetime() for t in holes["timestamp"].iloc[-40:]]


def test_commits_of_another_process_are_seen_whole_and_at_once(
    tmp_path: Path, frame_source: Callable[..., Any]
) -> None:
    """After another process says that it committed, the cache gives the new vector; no vector mixes two commits."""
    path = tmp_path / "store"
    with connect("duckdb", path=path, defaults={"symbol": "BTC-USD"}) as store:
        ingest = filled(store, frame_source(market(900)), days=10)
        view = inference_view(store)
        columns = [i for i, f in enumerate(ingest.feature_group.features) if f.dtype == "float64"]
        cache = VectorCache(store, view)
        seen: list[float] = []
        mixed: list[Any] = []
        done = threading.Event()

        def read() -> None:
            while not done.is_set():
                values = cache.get("BTC-USD")[0].vector.values[columns]
                if seen and len(set(values)) != 1:
                    mixed.append(values)

        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path), "5", "0.1"], stdout=subprocess.PIPE, text=True
        )
        readers = [threading.Thread(target=read) for _ in range(2)]
        assert writer.stdout is not None
        for line in writer.stdout:
            expected = float(line)
            seen.append(float(cache.get("BTC-USD")[0].vector.values[columns[0]]))
            assert seen[-1] >= expected
            if len(seen) == 1:
                for reader in readers:
                    reader.start()
        done.set()
        for reader in readers:
            reader.join()

    assert writer.wait() == 0
    assert len(seen) == 5
    assert mixed == []


def test_a_full_log_drops_and_counts(store: Any) -> None:
    """Adding never waits: what does not fit is dropped, and the number is known."""
    log = PredictionLog(store, capacity=3)

    for number in range(5):
        log.add(logged(str(number)))
    log.flush()

    assert (log.written, log.dropped, log.waiting) == (3, 2, 0)
    assert set(store.read(PREDICTIONS)["prediction_id"]) == {"0", "1", "2"}


def test_a_busy_store_keeps_the_log_waiting(store: Any) -> None:
    """What a busy store does not take stays in the queue and is written later."""

    class Busy(Counting):
        busy = True

        def write(self, group: Any, rows: Any) -> Any:
            if self.busy:
                raise StoreBusy("another process writes")
            return self.store.write(group, rows)

    busy = Busy(store)
    log = PredictionLog(busy)
    log.add(logged("one"))

    assert log.flush() is False
    assert (log.waiting, log.dropped) == (1, 0)
    busy.busy = False
    assert log.flush() is True
    assert (log.waiting, log.written) == (0, 1)


def logged(name: str) -> Logged:
    at = to_micros(now())
    return Logged(
        name, at, "BTC-USD", at, at, 1, "v", "view", 1, "f", "cache", None, 0.5, 0.1, 0.02, np.arange(3.0), None
    )
