"""Feast repositories as they are met: other people's views, other clients, wrong and unreachable ones."""

from __future__ import annotations

import json
import socket
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pandas as pd
import pytest

pytest.importorskip("feast", reason="the extra btcfs[feast] is not installed")

import feast

import servers
from btcfs.definitions import Feature, FeatureGroup, FeatureView
from btcfs.errors import ConfigError, DefinitionError, NotFound, SchemaError, StoreUnavailable, Unsupported
from btcfs.testing.backends.comparing import assert_same, bits, vector
from btcfs.testing.backends.examples import (
    DAY,
    HOUR,
    MICROSECOND,
    START,
    candle_group,
    candles,
    event_group,
    instants,
    put,
    spine,
    view_of,
)
from btcfs_feast import connect
from btcfs_feast.cells import OnlineView, Put, pack
from btcfs_feast.turns import Tick
from repositories import in_postgres, write_config

OFFLINE = ("dask", "duckdb")


def theirs(root: Path, *, key: Any = feast.ValueType.STRING, revisions: int = 1) -> Any:
    """A repository with a view, a service and rows that others made: hourly prices of two coins, each revised so often."""
    store = feast.FeatureStore(repo_path=str(root))
    coins = ["BTC", "ETH"] if key == feast.ValueType.STRING else [7, 8]
    frame = pd.DataFrame(
        [
            (
                coin,
                START + hour * HOUR,
                START + hour * HOUR + (n + 1) * DAY,
                100.0 * coins.index(coin) + hour + n / 10,
                n,
            )
            for coin in coins
            for hour in range(30)
            for n in range(revisions)
        ],
        columns=["coin", "event_timestamp", "created", "price", "trades"],
    )
    frame = frame.assign(**{name: frame[name].dt.as_unit("us") for name in ("event_timestamp", "created")})
    frame.sample(frac=1.0, random_state=1).to_parquet(root / "data" / "prices.parquet", index=False)
    source = feast.FileSource(
        name="prices",
        path=str(root / "data" / "prices.parquet"),
        timestamp_field="event_timestamp",
        created_timestamp_column="created",
    )
    coin = feast.Entity(name="coin", join_keys=["coin"], value_type=key)
    types = {"coin": feast.types.String if key == feast.ValueType.STRING else feast.types.Int64}
    fields = {**types, "price": feast.types.Float64, "trades": feast.types.Int64}
    view = feast.FeatureView(
        name="prices", entities=[coin], source=source, schema=[feast.Field(name=n, dtype=t) for n, t in fields.items()]
    )
    store.apply([coin, view, feast.FeatureService(name="pricing", features=[view[["price"]]])])
    store.write_to_online_store("prices", frame[frame["event_timestamp"] == START + 29 * HOUR])
    return store


@pytest.fixture
def local(tmp_path: Path) -> Path:
    return write_config(tmp_path / "repo")


@pytest.mark.parametrize("offline", OFFLINE)
@pytest.mark.parametrize("key", [feast.ValueType.STRING, feast.ValueType.INT64])
def test_views_of_others_are_read(tmp_path: Path, offline: str, key: Any) -> None:
    """A view that others made is a group: its newest revisions are read and joined, its online row served, as of too."""
    root = write_config(tmp_path / "repo", offline={"type": offline})
    theirs(root, key=key, revisions=8)
    coin = "BTC" if key == feast.ValueType.STRING else "7"
    with connect(root) as store:
        group, view = store.definitions()
        assert isinstance(group, FeatureGroup)
        assert isinstance(view, FeatureView)
        assert (group.ref, group.primary_key, group.feature_names) == (
            ("prices", 1), ("coin", "timestamp"), ("price", "trades"),
        )  # fmt: skip
        rows = store.read(group, entity={"coin": coin})
        assert rows["price"].tolist() == [hour + 0.7 for hour in range(30)]
        assert rows["trades"].tolist() == [7] * 30
        assert store.summary(group).rows == 60
        early = store.read(group, START, START + HOUR, entity={"coin": coin}, as_of=START + DAY)
        assert early["price"].tolist() == [0.0]
        asked = spine(group, (coin, START - HOUR), (coin, START + 3 * HOUR), ("9", START), (coin, START + 3 * HOUR))
        found = store.get_historical_features(view, asked)
        assert bits(found["price"]) == bits([np.nan, 3.7, np.nan, 3.7])
        assert vector(store, view, coin=coin).values.tolist() == [29.7]
        assert vector(store, view, coin=coin, timestamp=START + 5 * HOUR).values.tolist() == [5.7]
        with pytest.raises(NotFound):
            vector(store, view, coin="DOGE")


def test_views_of_others_are_left_alone(local: Path) -> None:
    """A group of others is not written, changed or deleted; a view over it may be applied."""
    client = theirs(local)
    before = client.get_feature_view("prices").to_proto()
    with connect(local) as store:
        group = store.definitions()[0]
        assert isinstance(group, FeatureGroup)
        store.apply(group)
        for act in (lambda: store.write(group, store.read(group)), lambda: store.delete(group)):
            with pytest.raises((Unsupported, DefinitionError)):
                act()
        mine = FeatureView("mine", 1, [group.ref], ["trades", "price"])
        store.apply(mine)
        assert store.get_historical_features(mine, spine(group, ("ETH", START + HOUR)))["price"].tolist() == [101.0]
        assert mine in store.definitions()

    assert feast.FeatureStore(repo_path=str(local)).get_feature_view("prices").to_proto() == before


def test_a_name_that_others_use_is_refused(local: Path) -> None:
    """A group or view whose Feast name others took, or whose key is another entity, is refused and nothing is made."""
    client = theirs(local, key=feast.ValueType.INT64)
    view = client.get_feature_view("prices")
    taken = feast.FeatureView(name="mine__v1", entities=[client.get_entity("coin")], source=view.batch_source)
    client.apply([taken, feast.FeatureService(name="ours__v1", features=[view])])
    with connect(local) as store:
        before = store.definitions()
        mine, other = candle_group(name="mine"), candle_group(name="other")
        for wrong, word in ((mine, "mine__v1"), (candle_group(primary_key=("coin", "timestamp")), "INT64")):
            with pytest.raises(DefinitionError, match=word):
                store.apply(wrong)
        with pytest.raises(DefinitionError, match="btcfs_created"):
            store.apply(candle_group(Feature("btcfs_created")))
        assert store.definitions() == before
        assert not list((local / "data" / "btcfs").glob("parts/*"))
        store.apply(other)
        with pytest.raises(DefinitionError, match="ours__v1"):
            store.apply(view_of(other, name="ours"))
        assert view_of(other, name="ours") not in store.definitions()


@pytest.mark.parametrize("offline", OFFLINE)
def test_other_clients_read_what_btcfs_wrote(tmp_path: Path, offline: str) -> None:
    """Feast's own join of a group, read from the same repository, has the numbers of ours; materializing changes none."""
    root = write_config(tmp_path / "repo", offline={"type": offline})
    group = candle_group("a", Feature("n", "int64"), name="bars")
    view = view_of(group, name="model")
    frame = candles(candle_group("a"), 40).assign(n=range(40))
    with connect(root) as store:
        put(store, group, frame)
        store.apply(view)
        asked = spine(group, *[("BTC-USD", START + n * HOUR) for n in range(1, 40)])
        ours = store.get_historical_features(view, asked)
        client = feast.FeatureStore(repo_path=str(root))
        job = client.get_historical_features(
            asked.rename(columns={"event_time": "event_timestamp"}), client.get_feature_service("model__v1")
        )
        other = job.to_df().sort_values("event_timestamp")
        assert other["a"].tolist() == ours["a"].tolist()
        assert other["n"].tolist() == ours["n"].tolist()

        client.materialize(START - DAY, START + 3 * DAY)
        served = client.get_online_features(["bars__v1:a"], [{"symbol": "BTC-USD"}]).to_dict()["a"]
        assert served == [frame["a"].iloc[-1]]
        assert vector(store, view, symbol="BTC-USD").values.tolist() == [frame["a"].iloc[-1], 39.0]


@pytest.mark.parametrize("offline", OFFLINE)
def test_feasts_own_join_is_repaired(tmp_path: Path, offline: str) -> None:
    """Without a scan Feast joins, and gives the frame of the scan: rows, order, index, types; what it would get wrong is refused."""
    root = write_config(tmp_path / "repo", offline={"type": offline})
    theirs(root)
    group, moving = candle_group("a", Feature("n", "int64")), event_group("m")
    view, moving_view = view_of(group, features=("n", "a")), view_of(moving)
    frame = pd.concat([candles(candle_group("a"), 20, symbol=s, seed=k) for k, s in enumerate(("BTC", "ETH"))])
    draw = np.random.default_rng(5)
    asked = spine(
        group,
        *[(str(draw.choice(["BTC", "ETH", "?"])), START + int(draw.integers(-5, 30)) * HOUR) for _ in range(60)],
        *[("BTC", START + HOUR - MICROSECOND), ("BTC", START + HOUR), ("BTC", START + HOUR)],
    )
    asked.index = pd.Index(range(100, 163))
    with connect(root) as store:
        put(store, group, frame.assign(n=range(40)))
        store.apply(moving)
        store.apply(view)
        store.apply(moving_view)
        expected = store.get_historical_features(view, asked)
        prices = next(d for d in store.definitions() if d.name == "pricing")
        assert isinstance(prices, FeatureView)
    with connect(root, scan=False) as store:
        assert_same(
            store.get_historical_features(view, asked.sample(frac=1.0, random_state=3)).loc[asked.index], expected
        )
        for refused in (
            lambda: store.read(group),
            lambda: store.get_historical_features(view, asked, as_of=START),
            lambda: store.get_historical_features(moving_view, asked),
        ):
            with pytest.raises(Unsupported):
                refused()
        assert vector(store, view, symbol="ETH").values.tolist()[0] == 39.0
        if offline == "dask":
            with pytest.raises(Unsupported, match="revised"):
                store.get_historical_features(
                    prices,
                    spine(moving, ("X", START)).rename(columns={"symbol": "coin", "event_time": "event_timestamp"}),
                )


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


@pytest.mark.parametrize(
    ("text", "word"),
    [
        (None, "feature_store.yaml"),
        ("", "feature_store.yaml"),
        ("{project: demo", "feature_store.yaml"),
        (json.dumps({"project": "demo", "provider": "local", "registry": "r.db", "entity_key_serialization_version": 1}), "version"),
        (json.dumps({"project": "demo", "provider": "local", "registry": "r.db", "online_store": {"type": "nowhere"}}), "nowhere|feast"),
    ],
)  # fmt: skip
def test_what_is_no_repository_is_refused(tmp_path: Path, text: str | None, word: str) -> None:
    """A folder without a configuration, or with one that Feast does not understand, is a ConfigError and stays as it was."""
    if text is not None:
        (tmp_path / "feature_store.yaml").write_text(text)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ConfigError, match=word):
        connect(tmp_path)

    assert sorted(tmp_path.rglob("*")) == before


def test_a_registry_of_another_kind_is_refused(local: Path) -> None:
    """A registry that the installed Feast cannot read is a ConfigError that says so, and is not written over."""
    newer = feast.FeatureStore(repo_path=str(local)).registry.proto()
    newer.registry_schema_version = "2"
    for content in (b"\xff" * 40, newer.SerializeToString()):
        (local / "data" / "registry.db").write_bytes(content)
        with pytest.raises(ConfigError, match="version"):
            connect(local)

        assert (local / "data" / "registry.db").read_bytes() == content


def test_an_empty_repository_is_empty(local: Path) -> None:
    """A repository in which nothing was applied has no definitions, and says so of what is asked."""
    with connect(local) as store:
        assert list(store.definitions()) == []
        with pytest.raises(NotFound, match="candles"):
            store.read(candle_group())


def test_a_server_that_is_not_there(tmp_path: Path) -> None:
    """A registry or an online store that refuses or never answers is StoreUnavailable, in time."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        for port in (servers.free_port(), silent.getsockname()[1]):
            sql = {"registry_type": "sql", "path": f"postgresql+psycopg://me:secret@127.0.0.1:{port}/db"}
            begun = time.monotonic()
            with pytest.raises(StoreUnavailable, match="registry") as refusal:
                connect(write_config(tmp_path / f"sql{port}", registry=sql), timeout=2.0)
            assert time.monotonic() - begun < 30
            assert "secret" not in str(refusal.value)
            redis = {"type": "redis", "connection_string": f"127.0.0.1:{port}"}
            with connect(write_config(tmp_path / f"redis{port}", online=redis), timeout=2.0) as store:
                group = candle_group()
                store.apply(group)
                with pytest.raises(StoreUnavailable, match="online store"):
                    store.write(group, candles(group, 2))
                assert store.summary(group).rows == 0


@pytest.mark.parametrize("which", ["offline", "online"])
def test_a_postgres_that_is_not_there(tmp_path: Path, which: str) -> None:
    """A Postgres that keeps the rows, or serves them, and refuses or never answers is named, in time, and nothing is made."""
    group = candle_group("a")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        for port in (servers.free_port(), silent.getsockname()[1]):
            root = write_config(tmp_path / f"to{port}", **{which: in_postgres(port)})
            with connect(root, timeout=2.0) as store:
                begun = time.monotonic()
                with pytest.raises(StoreUnavailable, match=f"{which} store .*feature_store.yaml"):
                    store.apply(group)
                assert time.monotonic() - begun < 40
                assert list(store.definitions()) == []
                assert not list((root / "data" / "btcfs").glob("parts/*"))


def test_a_registry_that_changed_under_us(local: Path) -> None:
    """A group that another client took out of the registry is NotFound, and its name may be applied again."""
    group = candle_group("a")
    with connect(local) as store:
        put(store, group, candles(group, 2))
        client = feast.FeatureStore(repo_path=str(local))
        client.delete_feature_view(f"{group.name}__v1")
        with pytest.raises(NotFound, match=group.name):
            store.read(group)
        put(store, group, candles(group, 3))
        assert_same(store.read(group), candles(group, 3))


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


def sql_repository(root: Path, project: str = "demo") -> Path:
    """A local repository whose registry is a database, which Feast reads from a copy in memory."""
    path = f"sqlite:///{root.parent / 'registry.db'}"
    return write_config(root, project=project, registry={"registry_type": "sql", "path": path})


def test_a_copy_of_the_registry_that_stays_old_misleads_nobody(tmp_path: Path) -> None:
    """A group is written and served though Feast cannot bring its copy of the registry up to date, and does not say so."""
    root = sql_repository(tmp_path / "repo")
    neighbour = feast.FeatureStore(repo_path=str(sql_repository(tmp_path / "neighbour", project="neighbour")))
    neighbour.apply(feast.Entity(name="coin", join_keys=["coin"], value_type=feast.ValueType.STRING))
    group = candle_group("a")
    view = view_of(group)
    with connect(root) as store, closing(sqlite3.connect(tmp_path / "registry.db")) as database:
        with database:
            database.execute("UPDATE entities SET entity_proto = 'no entity' WHERE project_id = 'neighbour'")
        put(store, group, candles(group, 3))
        store.apply(view)
        store.write(group, candles(group, 4))
        assert vector(store, view, symbol="BTC-USD").values.tolist() == [candles(group, 4)["a"][3]]


def test_what_others_changed_is_served_as_it_is_now(tmp_path: Path) -> None:
    """A view that others made, revised or disabled after the store was opened is served as it is, though Feast keeps a copy."""
    root = sql_repository(tmp_path / "repo")
    with connect(root) as store:
        client = theirs(root)
        group, pricing = store.definitions()
        assert isinstance(group, FeatureGroup)
        assert isinstance(pricing, FeatureView)
        assert vector(store, pricing, coin="BTC").values.tolist() == [29.0]

    with connect(root) as store:
        store.get_online_features(pricing, [{"coin": "BTC"}])
        view = client.get_feature_view("prices")
        view.ttl = DAY
        client.apply([view])
    # Beyond its time to live the newest row is served from neither the online nor the offline store.
    with connect(root) as store, pytest.raises(NotFound):
        vector(store, pricing, coin="BTC")

    # A SQL registry takes no notice of a view that was disabled and is otherwise the same.
    view.enabled, view.description = False, "no longer kept"
    client.apply([view])
    with connect(root) as store, pytest.raises(StoreUnavailable, match="prices.* is disabled"):
        vector(store, pricing, coin="BTC")


def test_a_group_that_lost_its_online_view_says_so(local: Path) -> None:
    """Without the view of its online rows a group is neither written nor served, by a message; applying it mends it."""
    group = candle_group("a")
    view = view_of(group)
    with connect(local) as store:
        put(store, group, candles(group, 3))
        store.apply(view)
        client = feast.FeatureStore(repo_path=str(local))
        name = f"{group.name}__v1__online"
        client.apply([], objects_to_delete=[client.get_feature_view(name)], partial=False)

    with connect(local) as store:
        for refused in (
            lambda: store.write(group, candles(group, 4)),
            lambda: vector(store, view, symbol="BTC-USD"),
        ):
            with pytest.raises(StoreUnavailable, match=f"{name}.*Apply the group again"):
                refused()
        assert len(store.read(group)) == 3
        store.apply(group)
        assert vector(store, view, symbol="BTC-USD").values.tolist() == [candles(group, 3)["a"][2]]
        store.write(group, candles(group, 4))
        assert vector(store, view, symbol="BTC-USD").values.tolist() == [candles(group, 4)["a"][3]]
