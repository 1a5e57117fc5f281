"""What btcfs keeps in a Feast repository of its own, and what it costs to open one."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import attrs
import pytest

pytest.importorskip("feast", reason="the extra btcfs[feast] is not installed")


import servers
from btcfs.definitions import Feature
from btcfs.errors import NotFound, SchemaError, StoreUnavailable
from btcfs.testing.backends.comparing import assert_same, vector
from btcfs.testing.backends.examples import (
    HOUR,
    START,
    candle_group,
    candles,
    instants,
    put,
    view_of,
)
from btcfs_feast import connect
from btcfs_feast.cells import OnlineView, Put, pack
from btcfs_feast.turns import Tick
from repositories import write_config

pytest_plugins = ["repositories"]


def test_online_rows_follow_a_killed_writer(local: Path) -> None:
    """What is offline and not yet online, since its writer was killed in between, is online to whoever opens next."""
    group = candle_group("a")
    view = view_of(group)
    with connect(local) as store:
        put(store, group, candles(group, 5))
        store.apply(view)
        stored = next(each for each in store._registered.stored() if each.definition == group)
        online = OnlineView(store._repository, group, stored.identity, stored.online)
        (newest,) = online.cells([(("BTC-USD",), "")])
        store.write(group, candles(group, 6).assign(a=7.0))
        assert newest is not None
        online.put(
            [Put(("BTC-USD",), "", pack(stored.identity, newest))],
            attrs.evolve(online.head(), seq=online.head().seq - 1),
            store._turns.tick(Tick(0, 0)).at,
        )

    with connect(local) as store:
        assert vector(store, view, symbol="BTC-USD").values.tolist() == [7.0]
        assert vector(store, view, symbol="BTC-USD", timestamp=START).values.tolist() == [7.0]


def test_rows_beyond_the_online_window_are_served(local: Path) -> None:
    """A row that is no longer kept online is answered from the offline store, with its newest content."""
    group, other = candle_group("a"), candle_group("b")
    view = view_of(group, other)
    with connect(local, online_rows=3) as store:
        put(store, group, candles(group, 20))
        put(store, other, candles(other, 20, seed=1))
        store.apply(view)
        store.write(group, candles(group, 20).iloc[[2]].assign(a=5.0))
        for row in (0, 2, 10, 19):
            expected = [5.0 if row == 2 else candles(group, 20)["a"][row], candles(other, 20, seed=1)["b"][row]]
            assert vector(store, view, symbol="BTC-USD", timestamp=START + row * HOUR).values.tolist() == expected


def test_lost_online_rows_are_served(tmp_path: Path) -> None:
    """When the online store forgot everything, vectors are the same, and the next to open fills it again."""
    with servers.redis() as port:
        root = write_config(tmp_path / "repo", online={"type": "redis", "connection_string": f"127.0.0.1:{port}"})
        group = candle_group("a")
        view = view_of(group)
        with connect(root) as store:
            put(store, group, candles(group, 4))
            store.apply(view)
            with socket.create_connection(("127.0.0.1", port)) as client:
                client.sendall(b"FLUSHALL\r\n")
                assert client.recv(16).startswith(b"+OK")
            assert vector(store, view, symbol="BTC-USD").values.tolist() == [candles(group, 4)["a"][3]]
        with connect(root) as store:
            assert vector(store, view, symbol="BTC-USD").values.tolist() == [candles(group, 4)["a"][3]]
    with pytest.raises(StoreUnavailable), connect(root, timeout=5.0) as store:
        store.write(group, candles(group, 5))


def test_an_empty_repository_is_empty(local: Path) -> None:
    """A repository in which nothing was applied has no definitions, and says so of what is asked."""
    with connect(local) as store:
        assert list(store.definitions()) == []
        with pytest.raises(NotFound, match="candles"):
            store.read(candle_group())


def test_columns_that_feast_would_cast_are_refused(local: Path) -> None:
    """A fraction for a whole number, which Feast cuts off in silence, is a SchemaError, and nothing is written."""
    group = candle_group(Feature("n", "int64"))
    with connect(local) as store:
        store.apply(group)
        frame = candles(candle_group("n"), 2)
        with pytest.raises(SchemaError, match="n"):
            store.write(group, frame.assign(n=[1.5, 2.0]))
        assert store.summary(group).rows == 0


def test_nothing_is_loaded_before_a_repository_is_opened(tmp_path: Path) -> None:
    """Importing btcfs and naming the backend loads no Feast, which takes seconds."""
    code = "import sys, btcfs, btcfs_feast, btcfs.connection; btcfs_feast.connect; print('feast' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)

    assert done.stdout.strip() == "False"


def test_a_local_repository_talks_to_nobody(tmp_path: Path) -> None:
    """No connection is made and no name looked up while a local repository is made, written and read."""
    code = f"""
import sys
calls = []
sys.addaudithook(lambda event, args: calls.append(event) if event in ("socket.connect", "socket.getaddrinfo") else None)
from btcfs_feast import connect
from btcfs.testing.backends.examples import candle_group, candles, put, view_of
with connect({str(tmp_path / "repo")!r}, create=True) as store:
    group = candle_group("a")
    put(store, group, candles(group, 3))
    store.apply(view_of(group))
    store.read(group)
print(calls)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)

    assert done.stdout.strip().splitlines()[-1] == "[]"


def test_times_of_both_kinds_are_columns(local: Path) -> None:
    """Strings and times that are missing come back as they were, through files and after opening again."""
    group = candle_group(Feature("word", "string"), Feature("seen", "timestamp"), "a")
    frame = candles(candle_group("a"), 2).assign(word=["x", None], seen=instants([None, START]))
    with connect(local) as store:
        put(store, group, frame)
    with connect(local) as store:
        assert_same(store.read(group), frame[list(group.columns)])
