"""The online half of the DuckDB backend follows the offline half, whatever happened to either."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from functools import partial
from pathlib import Path

import attrs
import pandas as pd
import pytest

from btcfs.definitions import FeatureView
from btcfs.errors import NotFound, StoreUnavailable
from btcfs.instants import now
from btcfs_duckdb import connect
from btcfs_duckdb.changes import Change
from btcfs_duckdb.commits import Writing, gathered, undo
from btcfs_duckdb.mirror import Mirror
from btcfs_duckdb.places import Places
from btcfs_duckdb.store import DuckDBStore
from integration import duckdb_child as child
from integration.duckdb_child import GROUP, VIEW


class Interrupted(Exception):
    """What ends a call between the offline and the online commit."""


class InterruptedStore(DuckDBStore):
    def _committed_offline(self) -> None:
        raise Interrupted


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A store with a second commit, which replaced rows."""
    child.prepare(tmp_path / "store")
    with connect(tmp_path / "store") as store:
        store.write(GROUP, child.commit(1))
    return tmp_path / "store"


def interrupted(folder: Path, act: Callable[[DuckDBStore], object]) -> None:
    store = InterruptedStore(Places(folder), 10.0, {})
    with store, pytest.raises(Interrupted):
        act(store)


def table(folder: Path) -> Path:
    (path,) = folder.glob("online-*.sqlite")
    return path


def lose_table(folder: Path) -> None:
    table(folder).unlink()


def lose_pointer(folder: Path) -> None:
    (folder / "online.current").unlink()


def spoil_table(folder: Path) -> None:
    table(folder).write_bytes(b"not a database " * 1000)


def empty_table(folder: Path) -> None:
    table(folder).write_bytes(b"")


def other_store(folder: Path) -> None:
    child.prepare(folder.with_name("other"))
    shutil.copy(table(folder.with_name("other")), table(folder))


def other_format(folder: Path) -> None:
    with sqlite3.connect(table(folder)) as connection:
        connection.execute("UPDATE meta SET format = 99")
    connection.close()


@pytest.mark.parametrize("damage", [lose_table, lose_pointer, spoil_table, empty_table, other_store, other_format])
def test_an_unusable_online_table_is_built_anew(
    folder: Path, damage: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    """An online table that is missing, unreadable or another store's is rebuilt on open, counted and logged."""
    damage(folder)

    found = child.state(folder)
    assert found["repairs"] == {"rebuilt": 1}
    assert (found["value"], found["log"], found["equal"]) == ([1.0], [0.0, 1.0], True)
    assert "built anew" in caplog.text
    assert child.state(folder)["repairs"] == {}


def test_a_restored_backup(folder: Path) -> None:
    """An online table ahead of offline tables that were restored from a backup is rebuilt, also in an open store."""
    backup = folder.with_name("backup.duckdb")
    shutil.copy(folder / "offline.duckdb", backup)
    with connect(folder) as store:
        store.write(GROUP, child.commit(2))
        shutil.copy(backup, folder / "offline.duckdb")
        assert max(store.read(GROUP)["value"]) == 1.0
        assert store.repairs == {"rebuilt": 1}
        assert child.newest(store) == {1.0}


def test_a_copied_store(folder: Path) -> None:
    """A store whose folder was copied needs no repair."""
    copy = folder.with_name("copy")
    shutil.copytree(folder, copy)

    assert child.state(copy)["repairs"] == {}
    assert child.state(copy)["equal"]


def test_a_write_repairs_first(folder: Path) -> None:
    """An open store finds out before its next write, and its vectors then show both commits."""
    with connect(folder) as store:
        interrupted(folder, lambda other: other.write(GROUP, child.commit(2)))
        assert child.newest(store) == {1.0}
        report = store.write(GROUP, child.commit(3).iloc[:5])
        assert store.repairs == {"replayed": 1}
        assert report.updated == 5
        assert child.newest(store) == {3.0}
    assert child.state(folder)["log"] == [0.0, 1.0, 2.0]


def test_a_read_repairs_first(folder: Path) -> None:
    """Whoever read a row offline gets it online too, also if its commit was interrupted."""
    with connect(folder) as store:
        interrupted(folder, lambda other: other.write(GROUP, child.commit(2)))
        assert max(store.read(GROUP)["value"]) == 2.0
        assert child.newest(store) == {2.0}


def test_interrupted_definitions(folder: Path) -> None:
    """An interrupted apply or delete is completed, rows included; a deleted group's rows do not come back."""
    other = FeatureView("other", 1, [GROUP.ref], ["value"])
    interrupted(folder, lambda store: store.apply(other))
    with connect(folder) as store:
        assert other in store.definitions()
        assert store.repairs == {"replayed": 1}
        store.delete(other)
        store.delete(VIEW)
    interrupted(folder, lambda store: store.delete(GROUP))
    with connect(folder) as store:
        assert store.definitions() == []
        store.apply(GROUP)
        store.apply(VIEW)
        with pytest.raises(NotFound):
            child.newest(store)
        store.write(GROUP, child.commit(5))
        assert child.newest(store) == {5.0}
        assert store.repairs == {"replayed": 1}


def test_an_interrupted_description(folder: Path) -> None:
    """A changed description arrives too, and the rows stay."""
    described = attrs.evolve(GROUP, description="said later")
    interrupted(folder, lambda store: store.apply(described))

    with connect(folder) as store:
        assert described in store.definitions()
        assert child.newest(store) == {1.0}


class FailingMirror(Mirror):
    """An online file that fails when all that is left is to commit."""

    def commit(self, seq: int) -> None:
        raise StoreUnavailable("no room")


def test_an_online_commit_that_fails(folder: Path) -> None:
    """If the online commit fails, the offline one is taken back: rows, history and the record of commits."""
    with connect(folder) as store:
        before, between = store.read(GROUP), now()
        offline = store._offline
        with (
            store.exclusive(),
            offline._turns.writing() as connection,
            store._readers.lent() as (target, generation),
        ):
            mirror = FailingMirror(target, generation.path, store._counter)
            change = Change(connection, mirror, folder / "offline.duckdb", lambda: None)
            commit = Writing(connection, GROUP, change.before, streamed=False)
            for rows in gathered(GROUP, child.commit(2)):
                commit.insert(commit.add(rows))
            assert commit.report().updated == 5
            with pytest.raises(StoreUnavailable, match="no room"):
                change.commit(partial(undo, connection, GROUP, change.before))

        for as_of in (None, between, now()):
            pd.testing.assert_frame_equal(store.read(GROUP, as_of=as_of), before)
        assert child.newest(store) == {1.0}
        assert store.repairs == {}
        assert store.write(GROUP, child.commit(2)).changed == 6
    assert child.state(folder)["log"] == [0.0, 1.0, 2.0]


def test_leftovers_are_swept(folder: Path) -> None:
    """Files of a generation or of a segment that no table names are removed at the next repair."""
    for name in ("online-000009.sqlite-wal", f"{table(folder).stem}-abc.rows"):
        (folder / name).write_bytes(b"left")
    interrupted(folder, lambda store: store.write(GROUP, child.commit(2)))

    assert child.state(folder)["equal"]
    names = {path.name for path in folder.iterdir()}
    assert names == {"offline.duckdb", "online.current", "writer.lock", "commits.count", table(folder).name}


def test_an_interrupted_beginning(tmp_path: Path) -> None:
    """A store whose making was interrupted is made by the next who opens it."""
    for name in ("offline.draft", "online-000001.sqlite", "online.draft"):
        (tmp_path / name).write_bytes(b"half")
    child.prepare(tmp_path)

    assert child.state(tmp_path)["value"] == [0.0]
    shutil.rmtree(tmp_path)
    child.prepare(tmp_path)
    (tmp_path / "online.current").unlink()  # the last thing to be made
    assert child.state(tmp_path)["equal"]
