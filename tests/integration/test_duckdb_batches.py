"""Many vectors of the embedded store read together are those read one by one, whatever their keys look like."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest

import btcfs
from btcfs.definitions import Feature, FeatureGroup, FeatureView
from btcfs.errors import NotFound, SchemaError, StoreUnavailable
from btcfs.store import FeatureStore, FeatureVector
from btcfs_duckdb import connect
from btcfs_duckdb.mirror import BULK
from btcfs_duckdb.payload import row_size

GROUP = FeatureGroup("minutes", 1, [Feature("a"), Feature("b"), Feature("c")], interval="1m")
VIEW = FeatureView("whole", 1, [GROUP.ref], ["a", "b", "c"])
TURNED = FeatureView("turned", 1, [GROUP.ref], ["c", "a"])
START = datetime(2024, 2, 29, tzinfo=timezone.utc)
TOKYO = ZoneInfo("Asia/Tokyo")
ROWS = 4 * BULK
HOLE = range(2 * BULK + 40, 2 * BULK + 60)  # candles that are missing inside the third segment
Key = Mapping[str, Any]


def minutes(numbers: Sequence[int], symbol: str = "BTC-USD", seed: int = 0) -> pd.DataFrame:
    times = pd.Timestamp(START) + pd.to_timedelta(np.asarray(numbers), "min")
    values = np.random.default_rng(seed).normal(size=(3, len(times)))
    columns = dict(zip("abc", values, strict=True))
    return pd.DataFrame({"symbol": symbol, "timestamp": times, "event_time": times + pd.Timedelta("1min"), **columns})


def at(number: int) -> datetime:
    return START + timedelta(minutes=number)


def keys_of(numbers: Sequence[int], symbol: str = "BTC-USD") -> list[dict[str, Any]]:
    return [{"symbol": symbol, "timestamp": at(number)} for number in numbers]


@pytest.fixture(scope="module", params=[(), HOLE], ids=["no candle missing", "some missing"])
def written(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    """Four segments, a restated row inside one of them, and three rows after them."""
    folder = tmp_path_factory.mktemp("written")
    with connect(folder) as opened:
        for definition in (GROUP, VIEW, TURNED):
            opened.apply(definition)
        for start in range(0, ROWS, BULK):
            opened.write(GROUP, minutes([n for n in range(start, start + BULK) if n not in request.param], seed=start))
        opened.write(GROUP, minutes(range(BULK // 2), "ETH-USD"))
        opened.write(GROUP, minutes([BULK + 7], seed=1))
        opened.write(GROUP, minutes(range(ROWS, ROWS + 3), seed=2))
    return folder


@pytest.fixture
def store(written: Path) -> Iterator[FeatureStore]:
    """The store of those rows, which has nothing in memory yet."""
    with connect(written) as opened:
        yield opened


def assert_same(batch: Sequence[FeatureVector], store: FeatureStore, view: FeatureView, keys: Sequence[Key]) -> None:
    single = [store.get_online_features(view, [key])[0] for key in keys]
    assert len(batch) == len(keys)
    for found in (list(batch), [batch[i] for i in range(len(batch))], batch[:], [*batch[:-2], batch[-2], batch[-1]]):
        for one, other in zip(found, single, strict=True):
            assert one.values.tobytes() == other.values.tobytes()
            assert (one.key, one.event_time, one.source) == (other.key, other.event_time, other.source)
            assert one.fingerprint == other.fingerprint
            assert one.key["timestamp"].tzinfo is timezone.utc
    assert btcfs.as_matrix(batch).tobytes() == np.array([vector.values for vector in single]).tobytes()


@pytest.mark.parametrize("view", [VIEW, TURNED], ids=["as stored", "some columns in another order"])
@pytest.mark.parametrize(
    "numbers",
    [
        range(20, 140),
        range(ROWS - 1, 0, -37),
        [5] * 20,
        [*range(BULK, BULK + 14), ROWS, ROWS + 2],
        [BULK + 7, *range(0, ROWS - 1, 100)],
        [BULK - 1, BULK] * 5,
    ],
    ids=["one segment", "all segments, backwards", "one key again and again", "rows after the segments", "a restated row", "borders"],
)  # fmt: skip
def test_many_vectors_are_those_of_each_key(store: FeatureStore, view: FeatureView, numbers: Sequence[int]) -> None:
    keys = keys_of([n for n in numbers if n not in HOLE])
    for _ in range(6):  # from the table first, from memory later
        assert_same(store.get_online_features(view, keys), store, view, keys)


SHAPES: dict[str, Callable[[list[dict[str, Any]]], Sequence[Key]]] = {
    "another order of columns": lambda keys: [dict(reversed(key.items())) for key in keys],
    "one in another order": lambda keys: [dict(reversed(keys[0].items())), *keys[1:]],
    "another zone": lambda keys: [{**key, "timestamp": key["timestamp"].astimezone(TOKYO)} for key in keys],
    "pandas' times": lambda keys: [{**key, "timestamp": pd.Timestamp(key["timestamp"])} for key in keys],
    "texts": lambda keys: [{**key, "timestamp": key["timestamp"].isoformat()} for key in keys],
    "one text": lambda keys: [*keys[:-1], {**keys[-1], "timestamp": keys[-1]["timestamp"].isoformat()}],
    "the newest among them": lambda keys: [*keys, {"symbol": "BTC-USD"}],
    "two symbols": lambda keys: [*keys, *keys_of(range(9), "ETH-USD")],
    "newest of two symbols": lambda keys: [{"symbol": "BTC-USD"}, {"symbol": "ETH-USD"}] * 6,
    "a tuple": tuple,
}


@pytest.mark.parametrize("shape", SHAPES)
def test_keys_may_look_otherwise(store: FeatureStore, shape: str) -> None:
    keys = SHAPES[shape](keys_of(range(0, BULK, 17)))
    for _ in range(6):
        assert_same(store.get_online_features(VIEW, keys), store, VIEW, keys)


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        ({"timestamp": at(ROWS + 3)}, NotFound),
        ({"timestamp": at(-1)}, NotFound),
        ({"timestamp": at(3) + timedelta(microseconds=1)}, NotFound),
        ({"timestamp": at(3).replace(tzinfo=None)}, SchemaError),
        ({"timestamp": 1_709_164_800}, SchemaError),
        ({"timestamp": at(3), "venue": "x"}, SchemaError),
        ({"symbol": 5, "timestamp": at(3)}, SchemaError),
        ({"symbol": "SOL-USD", "timestamp": at(3)}, NotFound),
    ],
)
@pytest.mark.parametrize("place", [0, 11])
def test_one_key_among_many_is_refused_as_if_it_were_alone(
    store: FeatureStore, changed: dict[str, Any], error: type[Exception], place: int
) -> None:
    keys = keys_of(range(0, ROWS, BULK // 4))
    keys[place] = {"symbol": "BTC-USD", **changed}
    for _ in range(6):
        with pytest.raises(error) as together:
            store.get_online_features(VIEW, keys)
        with pytest.raises(error) as alone:
            store.get_online_features(VIEW, [keys[place]])
        assert str(together.value) == str(alone.value)


def test_a_missing_candle_between_others_is_named(store: FeatureStore) -> None:
    present = keys_of([HOLE.start - 1, HOLE.stop, *range(0, ROWS, 300)])
    missing = keys_of([HOLE.start + 3])
    assert_same(store.get_online_features(VIEW, present), store, VIEW, present)
    if store.summary(GROUP, {"symbol": "BTC-USD"}).rows == ROWS + 3:
        return  # the store without a hole
    with pytest.raises(NotFound, match="no row"):
        store.get_online_features(VIEW, [*present, *missing])


def test_times_with_fractions_of_a_second(tmp_path: Path) -> None:
    trades = FeatureGroup("trades", 1, [Feature("a")])
    view = FeatureView("trades", 1, [trades.ref], ["a"])
    times = pd.Timestamp(START) + pd.to_timedelta(np.arange(400) * 1_234_567, "us")
    frame = pd.DataFrame({"symbol": "BTC-USD", "timestamp": times, "event_time": times, "a": np.arange(400.0)})
    keys = [{"symbol": "BTC-USD", "timestamp": time.to_pydatetime()} for time in times[::7]]
    with connect(tmp_path) as store:
        store.apply(trades)
        store.apply(view)
        store.write(trades, frame)
        for _ in range(6):
            assert_same(store.get_online_features(view, keys), store, view, keys)


def test_a_damaged_row_is_found_wherever_it_is(tmp_path: Path) -> None:
    """The bytes of one row of a segment's file are turned; a batch with it says so, and one without it does not."""
    with connect(tmp_path) as store:
        store.apply(GROUP)
        store.apply(VIEW)
        for start in range(0, 2 * BULK, BULK):
            store.write(GROUP, minutes(range(start, start + BULK), seed=start))
    [*_, newest] = sorted(tmp_path.rglob("*.rows"), key=lambda path: path.stat().st_mtime_ns)
    damaged = newest.read_bytes()
    end = BULK * row_size(3) - 12  # of a number of the last row
    newest.write_bytes(damaged[: end - 8] + bytes(255 - byte for byte in damaged[end - 8 : end]) + damaged[end:])
    whole, broken = keys_of(range(0, 2 * BULK - 2, 11)), keys_of(range(2 * BULK - 1, 0, -11))
    with connect(tmp_path) as store:
        assert_same(store.get_online_features(VIEW, whole), store, VIEW, whole)
        for _ in range(6):
            with pytest.raises(StoreUnavailable, match="damaged"):
                store.get_online_features(VIEW, broken)


def test_what_is_done_to_the_given_keys_changes_nothing(store: FeatureStore) -> None:
    keys = keys_of(range(10))
    batch = store.get_online_features(VIEW, keys)
    keys[3]["symbol"] = "DOGE-USD"
    assert [vector.key for vector in batch] == keys_of(range(10))
