"""Copies onto a disk that fills up half way: an error that says so, both stores whole, and the same copy goes on."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

import servers
from btcfs.connection import connect
from btcfs.errors import StoreUnavailable
from btcfs.store import FeatureStore
from btcfs.transfer.copying import copy_store
from moving import GROUP, rows, same_past
from repositories import all_in_postgres, write_config
from small_disk import fill, mounted

FULL = r"(?is)(no space|full|could not extend|make room).*the same command"
Open = Callable[[], FeatureStore]


@pytest.fixture
def source() -> FeatureStore:
    """Ten commits, of which each corrects some rows of the one before."""
    store = connect("memory")
    store.apply(GROUP)
    for number in range(10):
        store.write(GROUP, rows(600, first=500 * number, seed=number))
    return store


@contextmanager
def duckdb(place: Path, _: Path) -> Iterator[Open]:
    yield lambda: connect("duckdb", path=place / "store")


@contextmanager
def feast_files(place: Path, _: Path) -> Iterator[Open]:
    pytest.importorskip("feast", reason="the extra btcfs[feast] is not installed")
    write_config(place / "repo")
    yield lambda: connect("feast", path=place / "repo")


@contextmanager
def feast_postgres(place: Path, elsewhere: Path) -> Iterator[Open]:
    pytest.importorskip("feast", reason="the extra btcfs[feast] is not installed")
    import psycopg

    # Its tables on the small disk, its log elsewhere: without room for the log Postgres stops as a whole.
    tables = place / "tables"
    tables.mkdir()
    tables.chmod(0o777)
    with servers.postgres() as port:
        if os.geteuid() == 0:
            shutil.chown(tables, "nobody")
        with psycopg.connect(host="127.0.0.1", port=port, user="postgres", dbname="postgres", autocommit=True) as admin:
            admin.execute(f"CREATE TABLESPACE small LOCATION '{tables}'")
            admin.execute("ALTER SYSTEM SET default_tablespace = 'small'")
            admin.execute("SELECT pg_reload_conf()")
        all_in_postgres(elsewhere / "repo", port)
        yield lambda: connect("feast", path=elsewhere / "repo", timeout=30.0)


TARGETS: dict[str, tuple[Callable[[Path, Path], AbstractContextManager[Open]], int, int]] = {
    "duckdb": (duckdb, 48, 600_000),
    "feast_files": (feast_files, 48, 600_000),
    "feast_postgres": (feast_postgres, 48, 600_000),
}


@pytest.mark.slow
@pytest.mark.parametrize("target", TARGETS)
def test_the_target_fills_up(source: FeatureStore, tmp_path: Path, target: str) -> None:
    """What was copied is whole, nothing of the rest is there, and with room made the same call completes the copy."""
    opening, megabytes, left = TARGETS[target]
    with mounted(megabytes) as disk, opening(disk, tmp_path) as opened:
        with opened() as store:
            store.apply(GROUP)
            store.write(GROUP, source.changes(GROUP, source.commits(GROUP)[0]), commit=source.commits(GROUP)[0])
        filler = fill(disk, left)
        with (
            opened() as store,
            pytest.raises(StoreUnavailable, match=r"(?is)(no space|full|could not extend|make room).*The same command"),
        ):
            copy_store(source, store, journal=tmp_path / "journal")
        filler.unlink()
        with opened() as store:
            there = list(store.commits(GROUP))
            assert 1 <= len(there) < 10
            assert there == list(source.commits(GROUP))[: len(there)]
            copy_store(source, store, journal=tmp_path / "journal")

            assert same_past(source, store, [GROUP])


def test_the_journal_has_no_room(source: FeatureStore, tmp_path: Path) -> None:
    """A journal that cannot be written stops the copy, names the file, and loses nothing."""
    target = connect("memory")
    with mounted(1) as disk:
        filler = fill(disk, 0)
        with pytest.raises(StoreUnavailable, match=r"cannot write the journal .*/journal.*make room.*same command"):
            copy_store(source, target, journal=disk / "journal")
        assert len(target.commits(GROUP)) < 10
        filler.unlink()
        copy_store(source, target, journal=disk / "journal")

    assert same_past(source, target, [GROUP])
