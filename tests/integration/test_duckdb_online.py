"""The online half of the DuckDB backend: rows and segments, several processes, and nothing loaded that is not needed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from datetime import timezone
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from btcfs.definitions import Feature, FeatureGroup, FeatureView
from btcfs.errors import NotFound
from btcfs.store import FeatureStore
from btcfs_duckdb import connect
from integration import duckdb_child as child

GROUP = FeatureGroup("minutes", 1, [Feature("a"), Feature("n", "int64"), Feature("s", "string")], interval="1m")
HOURS = FeatureGroup("hours", 1, [Feature("h")], interval="1h")
VIEW = FeatureView("v", 1, [GROUP.ref], ["n", "a"])
BOTH = FeatureView("both", 1, [HOURS.ref, GROUP.ref], ["a", "h"])
START = pd.Timestamp("2020-01-01", tz="UTC")
MANY = 16_384  # rows enough for a segment


def minutes(first: int, count: int, symbol: str = "BTC-USD", step: int = 1) -> pd.DataFrame:
    numbers = np.arange(first, first + count * step, step)
    values = np.random.default_rng(first).normal(size=count)
    return pd.DataFrame(
        {"symbol": symbol, "timestamp": START + pd.to_timedelta(numbers, "min"), "a": values, "n": numbers, "s": "x"}
    )


def hours(count: int, symbol: str = "BTC-USD") -> pd.DataFrame:
    times = START + pd.to_timedelta(np.arange(count), "h")
    return pd.DataFrame({"symbol": symbol, "timestamp": times, "h": np.arange(count, dtype="float64")})


def segments(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*.rows"))


def assert_equal_halves(store: FeatureStore) -> None:
    """Every row that the offline tables hold is the vector of its key, and the newest is the newest."""
    rows = store.read(GROUP)
    vectors = store.get_online_features(VIEW, rows[["symbol", "timestamp"]].to_dict("records"))
    assert np.array_equal(np.array([vector.values for vector in vectors]), rows[["n", "a"]].to_numpy(dtype="float64"))
    for symbol, own in rows.groupby("symbol"):
        (newest,) = store.get_online_features(VIEW, [{"symbol": symbol}])
        assert newest.values[0] == own["n"].iloc[-1]


def assert_equal_joins(store: FeatureStore) -> None:
    """Vectors of a view of two groups are the rows of the point-in-time join."""
    rows = store.read(HOURS)
    joined = store.get_historical_features(BOTH, rows[["symbol", "event_time"]])
    vectors = store.get_online_features(BOTH, rows[["symbol", "timestamp"]].to_dict("records"))
    assert np.array_equal(np.array([v.values for v in vectors]), joined[["a", "h"]].to_numpy(), equal_nan=True)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with connect(tmp_path) as store:
        for definition in (GROUP, HOURS, VIEW, BOTH):
            store.apply(definition)
    return tmp_path


def test_bulk_commits_and_single_rows_together(folder: Path) -> None:
    """Rows in segments, rows put among and over them later, and rows before and after them are all found."""
    with connect(folder) as store:
        store.write(GROUP, minutes(1000, MANY, step=2))
        assert len(segments(folder)) == 1
        assert_equal_halves(store)
        store.write(GROUP, minutes(1000, 5, step=2).assign(a=7.0))  # over the first rows
        store.write(GROUP, minutes(1011, 3, step=2))  # between rows
        store.write(GROUP, minutes(10, 4))  # before all
        store.write(GROUP, minutes(1000 + 2 * MANY, 4))  # after all
        assert_equal_halves(store)
        store.write(GROUP, minutes(1000 + 2 * MANY + 4, MANY))  # a second segment
        assert len(segments(folder)) == 2
        store.write(GROUP, minutes(900, MANY + 300, step=2).assign(a=1.0))  # many rows, new ones and replaced ones
        assert len(segments(folder)) == 2
        store.write(HOURS, hours(MANY // 20))
        assert_equal_halves(store)
        assert_equal_joins(store)
        store.rebuild_online()
        assert_equal_halves(store)
        assert_equal_joins(store)
    with connect(folder) as store:
        assert_equal_halves(store)


def test_several_entities_in_one_bulk_commit(folder: Path) -> None:
    """Each entity with many rows gets a segment, in any order of rows; the others go to the table."""
    frame = pd.concat([minutes(0, MANY), minutes(5, MANY, "ETH-USD"), minutes(9, 40, "SOL-USD")])
    with connect(folder) as store:
        report = store.write(GROUP, frame.sample(frac=1.0, random_state=1))
        assert report.inserted == len(frame)
        assert len(segments(folder)) == 2
        assert_equal_halves(store)
        store.write(HOURS, pd.concat([hours(300), hours(300, "ETH-USD"), hours(3, "SOL-USD"), hours(3, "XRP-USD")]))
        assert_equal_joins(store)


def test_a_stream_of_small_frames_is_a_bulk_commit(folder: Path) -> None:
    """Many small frames make few segments, and a buffer that is used again for each frame does no harm."""
    frame = minutes(0, 3 * MANY)
    buffer = np.empty(1024)

    def stream() -> Iterator[pd.DataFrame]:
        for at in range(0, len(frame), 1024):
            part = frame.iloc[at : at + 1024].reset_index(drop=True)
            buffer[:] = part["a"]
            columns = {name: buffer if name == "a" else part[name] for name in part}
            yield pd.DataFrame(columns, copy=False)

    with connect(folder) as store:
        store.write(GROUP, stream())
        assert len(segments(folder)) == 1
        pd.testing.assert_series_equal(store.read(GROUP)["a"], frame["a"])
        assert_equal_halves(store)


def test_a_stream_is_not_held_in_memory(folder: Path) -> None:
    """While a long stream is written, what it gave before is let go of."""
    size, held = 40_000, []

    def stream() -> Iterator[pd.DataFrame]:
        for at in range(20):
            yield minutes(at * size, size)
            held.append(pa.total_allocated_bytes())

    with connect(folder) as store:
        assert store.write(GROUP, stream()).inserted == 20 * size
    one = minutes(0, size).memory_usage().sum()
    assert max(held) - held[0] < 6 * one


def test_many_keys_at_once(folder: Path) -> None:
    """Many keys give the vectors that they give one by one, in the order asked; one that is missing is named."""
    with connect(folder) as store:
        store.write(GROUP, minutes(0, 5 * MANY, step=2))
        store.write(GROUP, minutes(10 * MANY, 5 * MANY, step=2))
        assert len(segments(folder)) == 2
        times = (
            START + pd.to_timedelta(np.random.default_rng(1).integers(0, 10 * MANY, 50) * 2, "min")
        ).to_pydatetime()
        keys = [{"symbol": "BTC-USD", "timestamp": time} for time in times]
        together = store.get_online_features(VIEW, keys)
        for vector, key in zip(together, keys, strict=True):
            (alone,) = store.get_online_features(VIEW, [key])
            assert vector.values.tolist() == alone.values.tolist()
            assert (vector.event_time, vector.key, vector.source, vector.fingerprint) == (
                alone.event_time,
                alone.key,
                alone.source,
                alone.fingerprint,
            )
        odd = {"symbol": "BTC-USD", "timestamp": START + pd.Timedelta(minutes=3)}
        for missing in (odd, {"symbol": "ETH-USD", "timestamp": START}):
            with pytest.raises(NotFound, match=str(missing["symbol"])):
                store.get_online_features(VIEW, [*keys, missing])


@pytest.mark.parametrize("chosen", [range(40), range(0, 4 * MANY, 701), [5, 5, 3, 9, 9, 9, 1, 0, 5]])
def test_many_keys_in_the_table_and_in_segments(folder: Path, chosen: Any) -> None:
    """Wherever the rows lie, in the table, in segments or in both, together they are what they are one by one."""
    with connect(folder) as store:
        for rows, count in (
            (minutes(0, 50), 50),  # in the table
            (minutes(50, 2 * MANY), 2 * MANY),  # in a segment
            (minutes(MANY, 30).assign(a=7.0), 2 * MANY),  # in the table, over the segment's
            (minutes(50 + 2 * MANY, 3 * MANY), 5 * MANY),
        ):
            store.write(GROUP, rows)
            times = [START + pd.Timedelta(minutes=number % count) for number in chosen]
            keys = [{"symbol": "BTC-USD", "timestamp": t.to_pydatetime().astimezone(timezone.utc)} for t in times]
            for _ in range(7):  # then by a plan that is known, and at last by rows that are in memory
                together = store.get_online_features(VIEW, keys)
                alone = [store.get_online_features(VIEW, [key])[0] for key in keys]
                assert [v.values.tolist() for v in together] == [v.values.tolist() for v in alone]
                assert [(v.event_time, v.key) for v in together] == [(v.event_time, v.key) for v in alone]


def test_the_change_token(folder: Path) -> None:
    """The token of a group differs after each commit to it by any store, and not after commits to others."""
    with connect(folder) as store, connect(folder) as other:
        tokens = [store.change_token([GROUP.ref])]
        for write in (
            lambda: other.write(GROUP, minutes(0, 1)),
            lambda: store.write(GROUP, minutes(1, 1)),
            lambda: other.write(GROUP, minutes(2, MANY)),
            store.rebuild_online,
            lambda: other.write(GROUP, minutes(0, 1).assign(a=0.5)),
        ):
            write()
            tokens.append(store.change_token([GROUP.ref]))
            assert store.change_token([GROUP.ref]) == tokens[-1]
        assert len(set(tokens)) == len(tokens)
        other.write(HOURS, hours(1))
        other.write(GROUP, minutes(0, 1).assign(a=0.5))  # changes nothing
        assert store.change_token([GROUP.ref]) == tokens[-1]
        assert store.change_token([GROUP.ref, HOURS.ref]) != store.change_token([GROUP.ref])


def test_deleting_a_group_removes_its_segments(folder: Path) -> None:
    """A deleted group leaves no file, and a store that has served it says that its view is gone."""
    with connect(folder) as store, connect(folder) as other:
        store.write(GROUP, minutes(0, MANY))
        assert other.get_online_features(VIEW, [{"symbol": "BTC-USD"}])[0].values[0] == MANY - 1
        for view in (VIEW, BOTH):
            store.delete(view)
        store.delete(GROUP)
        assert segments(folder) == []
        with pytest.raises(NotFound):
            other.get_online_features(VIEW, [{"symbol": "BTC-USD"}])
        store.apply(GROUP)
        store.apply(VIEW)
        with pytest.raises(NotFound, match="no row"):
            other.get_online_features(VIEW, [{"symbol": "BTC-USD"}])


def test_readers_go_over_to_a_rebuilt_table(folder: Path) -> None:
    """A store that was reading goes on after another rebuilt the online table, and reads what is written to the new one."""
    with connect(folder) as store, connect(folder) as reader:
        store.write(GROUP, minutes(0, MANY))
        assert reader.get_online_features(VIEW, [{"symbol": "BTC-USD"}])[0].values[0] == MANY - 1
        before = set(segments(folder))
        store.rebuild_online()
        assert not before & set(segments(folder))
        assert len(list(folder.glob("online-*.sqlite"))) == 1
        assert_equal_halves(reader)
        store.write(GROUP, minutes(MANY, 1))
        assert reader.get_online_features(VIEW, [{"symbol": "BTC-USD"}])[0].values[0] == MANY


def test_vectors_load_neither_duckdb_nor_pandas(folder: Path) -> None:
    """A process that only asks for vectors loads no DuckDB, no pandas and no Arrow."""
    with connect(folder) as store:
        store.write(GROUP, minutes(0, 3))
    code = """
        import json, sys
        import btcfs_duckdb
        first = sorted({"duckdb", "pandas", "pyarrow", "numpy", "sqlite3"} & set(sys.modules))
        from btcfs.catalogue import find_view
        with btcfs_duckdb.connect(sys.argv[1]) as store:
            view = find_view(store.definitions(), "v")
            values = store.get_online_features(view, [{"symbol": "BTC-USD"}])[0].values.tolist()
        print(json.dumps([first, values[0], sorted({"duckdb", "pandas", "pyarrow"} & set(sys.modules))]))
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), str(folder)], capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [[], 2.0, []]


def test_a_store_survives_a_fork(tmp_path: Path) -> None:
    """After a fork parent and child go on with connections of their own, and the parent's end harms no child."""
    child.prepare(tmp_path)
    code = """
        import os, sys, threading
        from pathlib import Path
        from btcfs_duckdb import connect
        from integration.duckdb_child import GROUP, commit, newest
        store = connect(sys.argv[1])
        assert newest(store) == {0.0}
        done = threading.Event()
        def look():
            while not done.is_set():
                newest(store)
        threads = [threading.Thread(target=look) for _ in range(3)]
        [thread.start() for thread in threads]
        go, ready = os.pipe(), os.pipe()
        pid = os.fork()
        if pid == 0:
            assert newest(store) == {0.0}
            os.write(ready[1], b"1")
            os.read(go[0], 1)
            seen = newest(store)
            store.write(GROUP, commit(2))
            os._exit(0 if seen == {1.0} and newest(store) == {2.0} else 1)
        os.read(ready[0], 1)
        done.set()
        [thread.join() for thread in threads]
        store.close()
        with connect(sys.argv[1]) as again:
            again.write(GROUP, commit(1))
        os.write(go[1], b"1")
        _, status = os.waitpid(pid, 0)
        assert status == 0, status
        with connect(sys.argv[1]) as again:
            assert newest(again) == {2.0}
    """
    paths = {**os.environ, "PYTHONPATH": str(Path(child.__file__).parent.parent)}
    command = [sys.executable, "-c", textwrap.dedent(code), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=paths, timeout=120)

    assert done.returncode == 0, done.stderr
