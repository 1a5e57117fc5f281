"""Feast repositories that are wrong, unreachable or changed by others: refused in words, and left as they were."""

from __future__ import annotations

import json
import socket
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

pytest.importorskip("feast", reason="the extra btcfs[feast] is not installed")

import feast

import servers
from btcfs.errors import ConfigError, NotFound, StoreUnavailable
from btcfs.testing.backends.comparing import assert_same, vector
from btcfs.testing.backends.examples import candle_group, candles, put, view_of
from btcfs_feast import connect
from repositories import in_postgres, sql_repository, write_config

pytest_plugins = ["repositories"]


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
