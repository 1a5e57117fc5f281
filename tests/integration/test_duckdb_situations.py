"""Bad situations of the DuckDB backend: each has an error that says what to do, and leaves the store as it was."""

from __future__ import annotations

import os
import resource
import signal
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pytest

from btcfs.errors import ConfigError, StoreBusy, StoreUnavailable
from btcfs_duckdb import connect
from btcfs_duckdb.payload import row_size
from integration import duckdb_child as child
from integration.duckdb_child import GROUP, VIEW
from small_disk import fill, mounted

SCRIPT = Path(child.__file__)
NOBODY = 65534


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A store of one commit."""
    child.prepare(tmp_path / "store")
    return tmp_path / "store"


def candles(count: int) -> pd.DataFrame:
    hours = pd.date_range("1970-01-01", periods=count, freq="h", tz="UTC")
    values = np.random.default_rng(1).normal(size=count)
    return pd.DataFrame({"symbol": "BULK", "timestamp": hours, "value": values, "other": values})


def run(code: str, *arguments: object, **options: Any) -> subprocess.CompletedProcess[str]:
    """Python code in a process of its own; its standard output is what it found."""
    command = [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)


@pytest.fixture
def holder(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that has the writer's turn."""
    process = subprocess.Popen([sys.executable, str(SCRIPT), "hold", str(folder)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_busy_names_the_holder(folder: Path, holder: subprocess.Popen[str]) -> None:
    """Who waits too long is told which process holds the store, and how long it waited."""
    with connect(folder, lock_timeout=0.2) as store:
        with pytest.raises(StoreBusy, match=rf"process {holder.pid} on .*duckdb_child.py.* after 0.2 s"):
            store.write(GROUP, child.commit(1))
        with pytest.raises(StoreBusy, match=str(holder.pid)):
            store.read(GROUP)


def test_vectors_need_no_lock(folder: Path, holder: subprocess.Popen[str]) -> None:
    """While another process writes, a store is opened, names its definitions and serves vectors."""
    with connect(folder, lock_timeout=0.1) as store:
        assert len(store.definitions()) == 2
        assert child.newest(store) == {0.0}
    assert holder.poll() is None


def test_the_lock_ends_with_its_holder(folder: Path, holder: subprocess.Popen[str]) -> None:
    """A killed holder's lock is free at once."""
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()

    with connect(folder, lock_timeout=0.5) as store:
        assert store.write(GROUP, child.commit(1)).changed == 6


def test_a_write_inside_a_write(folder: Path) -> None:
    """A stream that writes to its own store is told so, and may read: it sees the store as before its write."""
    with connect(folder) as store:

        def stream() -> Iterator[pd.DataFrame]:
            yield child.commit(1)
            assert set(store.read(GROUP)["value"]) == {0.0}
            store.write(GROUP, child.commit(2))

        with pytest.raises(StoreBusy, match="in this very thread"):
            store.write(GROUP, stream())
        assert set(store.read(GROUP)["value"]) == {0.0}
        assert store.write(GROUP, child.commit(1)).changed == 6


def test_a_folder_that_may_not_be_written(tmp_path: Path) -> None:
    """A folder without permission to write is named, with what to do."""
    code = f"""
        import os, sys
        from btcfs.errors import StoreUnavailable
        from btcfs_duckdb import connect
        connect(sys.argv[1]).close()  # loads what another user might not be allowed to read
        if os.getuid() == 0:  # whom permissions do not stop
            os.setegid({NOBODY})
            os.seteuid({NOBODY})
        for folder in sys.argv[2:]:
            try:
                connect(folder)
            except StoreUnavailable as exc:
                print(exc)
    """
    place = tmp_path / "place"
    place.mkdir(mode=0o555)
    for parent in (tmp_path, *tmp_path.parents):
        if os.getuid() == 0 and not parent.stat().st_mode & 0o001:
            parent.chmod(parent.stat().st_mode | 0o011)  # pytest made it for its own user alone

    done = run(code, tmp_path / "writable", place, place / "below")
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.splitlines()
    assert f"cannot lock the store in {place}" in first
    assert "writable by this user" in first
    assert f"cannot make the folder {place / 'below'}" in second
    assert list(place.iterdir()) == []


def test_a_file_in_place_of_the_folder(tmp_path: Path) -> None:
    """A file of the folder's name is left alone, and the error names it."""
    (tmp_path / "store").write_text("mine")

    with pytest.raises(StoreUnavailable, match="cannot make the folder"):
        connect(tmp_path / "store")
    assert (tmp_path / "store").read_text() == "mine"


@pytest.mark.parametrize(
    "statements",
    [
        ["CREATE TABLE theirs (a INTEGER)"],
        [],
        ["CREATE TABLE meta (a INTEGER)"],
        ["CREATE TABLE meta (application VARCHAR, format BIGINT)", "INSERT INTO meta VALUES ('other', 1)"],
    ],
)
def test_a_file_of_another_application(tmp_path: Path, statements: list[str]) -> None:
    """A DuckDB file that is no store of ours is refused and not changed by a byte."""
    file = tmp_path / "offline.duckdb"
    with duckdb.connect(str(file)) as connection:
        for statement in statements:
            connection.execute(statement)
    before = file.read_bytes()

    with pytest.raises(ConfigError, match=r"offline.duckdb is not a btcfs store.*left untouched.*another folder"):
        connect(tmp_path)
    assert file.read_bytes() == before
    assert not (tmp_path / "online.current").exists()


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    """So is a file that is not DuckDB's at all."""
    file = tmp_path / "offline.duckdb"
    file.write_bytes(b"my diary " * 1000)

    with pytest.raises(ConfigError, match="no DuckDB file"):
        connect(tmp_path)
    assert file.read_bytes() == b"my diary " * 1000


def test_a_newer_format(folder: Path) -> None:
    """A store of a newer btcfs is refused with the two formats, and is not changed."""
    with duckdb.connect(str(folder / "offline.duckdb")) as connection:
        connection.execute("UPDATE meta SET format = 99")
    before = (folder / "offline.duckdb").read_bytes()

    with pytest.raises(ConfigError, match=r"format 99, this btcfs knows up to 1.*pip install --upgrade"):
        connect(folder).read(GROUP)
    assert (folder / "offline.duckdb").read_bytes() == before


def test_the_file_is_open_elsewhere(folder: Path) -> None:
    """A program that has the DuckDB file open, past our lock, is named by DuckDB's own words."""
    code = "import duckdb, sys, time; c = duckdb.connect(sys.argv[1]); print('open', flush=True); time.sleep(60)"
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(folder / "offline.duckdb")], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    process.stdout.readline()
    try:
        with connect(folder) as store:
            with pytest.raises(StoreBusy, match=rf"PID {process.pid}.*Close it there"):
                store.read(GROUP)
            assert child.newest(store) == {0.0}
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_a_missing_offline_file(folder: Path) -> None:
    """Without its history a store is not begun anew over the vectors that are left."""
    (folder / "offline.duckdb").unlink()

    with pytest.raises(StoreUnavailable, match=r"offline.duckdb is missing.*Restore it from a backup"):
        connect(folder).read(GROUP)
    assert not (folder / "offline.duckdb").exists()


def test_a_damaged_row(folder: Path) -> None:
    """A flipped byte in an online row is never served; rebuilding puts it right."""
    with connect(folder) as store:
        path = next(folder.glob("online-*.sqlite"))
        with sqlite3.connect(path) as connection:
            (table,) = connection.execute("SELECT name FROM sqlite_master WHERE name LIKE 'rows_%'").fetchone()
            (payload,) = connection.execute(f"SELECT payload FROM {table} WHERE entity = 'COIN-1'").fetchone()
            broken = payload[:3] + bytes([payload[3] ^ 1]) + payload[4:]
            connection.execute(f"UPDATE {table} SET payload = ? WHERE entity = 'COIN-1'", (broken,))
        connection.close()

        with pytest.raises(StoreUnavailable, match=r"damaged on the disk.*btcfs store rebuild-online"):
            store.get_online_features(VIEW, [{"symbol": "COIN-1"}])
        store.rebuild_online()
        assert child.newest(store) == {0.0}


def test_a_damaged_segment(folder: Path) -> None:
    """A flipped byte in a segment, in a row or in its times, is never served either."""
    with connect(folder) as store:
        store.write(GROUP, candles(20_000))
    for offset in (20_000 * row_size(2) - 5, -40):
        (path,) = folder.glob("*.rows")
        content = bytearray(path.read_bytes())
        content[offset] ^= 1
        path.write_bytes(content)
        with connect(folder) as store:
            with pytest.raises(StoreUnavailable, match="btcfs store rebuild-online"):
                store.get_online_features(VIEW, [{"symbol": "BULK"}])
            store.rebuild_online()
            assert (
                store.get_online_features(VIEW, [{"symbol": "BULK"}])[0].values[1] == candles(20_000)["value"].iloc[-1]
            )


def test_a_damaged_row_among_many(folder: Path) -> None:
    """A flipped byte in one of the rows that are read together is never served; the others are."""
    bulk = candles(20_000)
    with connect(folder) as store:
        store.write(GROUP, bulk)
    (path,) = folder.glob("*.rows")
    content = bytearray(path.read_bytes())
    content[20_000 * row_size(2) - 5] ^= 1  # in the last row
    path.write_bytes(content)
    keys = [{"symbol": "BULK", "timestamp": time.to_pydatetime()} for time in bulk["timestamp"].iloc[-20:]]
    with connect(folder) as store:
        store.get_online_features(VIEW, keys[:-1])
        for _ in range(2):  # what was found whole before is not taken for the rest
            with pytest.raises(StoreUnavailable, match=r"damaged on the disk.*btcfs store rebuild-online"):
                store.get_online_features(VIEW, keys)


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A file system of 12 MB."""
    with mounted(12) as place:
        yield place


def test_a_disk_too_small(small_disk: Path) -> None:
    """A write that fills the disk fails, says so, and leaves the store as it was."""
    child.prepare(small_disk / "store")
    with connect(small_disk / "store") as store:
        for count in (400_000, 300_000):
            with pytest.raises(StoreUnavailable, match="Make room"):
                store.write(GROUP, candles(count))
            assert set(store.read(GROUP)["value"]) == child.newest(store) == {0.0}
        assert store.write(GROUP, child.commit(1)).changed == 6
    assert child.state(small_disk / "store")["equal"]


@pytest.mark.parametrize("left", [0, 4_096, 20_000, 60_000, 200_000])
def test_a_full_disk(small_disk: Path, left: int) -> None:
    """At whatever step the disk is full, a commit is there whole or not at all, and the answer says which."""
    child.prepare(small_disk / "store")
    with connect(small_disk / "store") as store:
        child.newest(store)
        filler = fill(small_disk, left)
        problem = ""
        try:
            store.write(GROUP, child.commit(1))
        except StoreUnavailable as exc:
            problem = str(exc)
        written = 0.0 if problem else 1.0
        assert not problem or "Make room" in problem
        assert max(store.read(GROUP)["value"]) == written
        assert child.newest(store) == {written}
        filler.unlink()
        assert store.write(GROUP, child.commit(1)).changed == (0 if written else 6)
    found = child.state(small_disk / "store")
    assert (found["value"], found["equal"]) == ([1.0], True)


def test_no_room_for_the_offline_file(folder: Path) -> None:
    """The same where the system limits the size of files."""
    code = """
        import resource, sys
        from btcfs.errors import StoreUnavailable
        from btcfs_duckdb import connect
        from integration.duckdb_child import GROUP, commit
        from integration.test_duckdb_situations import candles
        with connect(sys.argv[1]) as store:
            before = store.read(GROUP)
            resource.setrlimit(resource.RLIMIT_FSIZE, (4_000_000, resource.RLIM_INFINITY))
            try:
                store.write(GROUP, candles(400_000))
            except StoreUnavailable as exc:
                print(exc)
            assert store.read(GROUP).equals(before)
            assert store.write(GROUP, commit(1)).changed == 6
    """
    done = run(code, folder, env={**os.environ, "PYTHONPATH": str(SCRIPT.parent.parent)})

    assert done.returncode == 0, done.stderr
    assert "Make room" in done.stdout
    assert child.state(folder)["value"] == [1.0]
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 4_000_000
