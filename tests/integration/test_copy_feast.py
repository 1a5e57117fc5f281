"""Copies into a Feast repository in a Postgres and out of it, and what COPY in its binary format keeps."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

pytest.importorskip("feast", reason="the extra btcfs[feast] is not installed")

import feast

import servers
from btcfs.connection import connect
from btcfs.definitions import FeatureGroup
from btcfs.errors import CheckFailed, DefinitionError, NotFound, StoreUnavailable
from btcfs.store import FeatureStore
from btcfs.transfer.copying import copy_store
from btcfs.transfer.diffing import diff_stores
from btcfs_feast.postgres_copy import TYPES, get, listed, put, quoted
from moving import GROUP, NOTES, filled, notes, rows, same_past
from repositories import all_in_postgres

psycopg = pytest.importorskip("psycopg", reason="the extra btcfs[feast-postgres] is not installed")

DTYPES = {
    "f": "float64",
    "word": "string",
    "n": "int64",
    "at": "timestamp",
    "up": "bool",
    "other": "string",
    "cells": "int64",
}


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with servers.postgres() as running:
        yield running


@pytest.fixture
def repository(port: int, tmp_path: Path) -> Path:
    return all_in_postgres(tmp_path / "repo", port)


@pytest.fixture
def source() -> FeatureStore:
    return filled(connect("memory"))


@pytest.mark.slow
@pytest.mark.parametrize("size", [16, 100_000])
def test_there_and_back(source: FeatureStore, repository: Path, tmp_path: Path, size: int) -> None:
    """A store copied to Feast and from there to DuckDB has the same definitions, rows and past."""
    with connect("feast", path=repository) as between, connect("duckdb", path=tmp_path / "back") as back:
        copy_store(source, between, size=size, journal=tmp_path / "there")
        copy_store(between, back, size=size, journal=tmp_path / "back.journal")

        assert list(back.definitions()) == list(source.definitions())
        assert same_past(source, between)
        assert same_past(source, back)
        assert diff_stores(between, back).equal
        assert copy_store(source, between, journal=tmp_path / "there").rows == 0


@pytest.mark.parametrize("group", [GROUP, NOTES], ids=lambda group: group.name)
def test_rows_between_event_times(source: FeatureStore, repository: Path, group: FeatureGroup) -> None:
    """What Postgres counts between event times is what numpy counts of the newest rows."""
    with connect("feast", path=repository) as store:
        copy_store(source, store)
        times = np.sort(store.read(group)["event_time"].dt.as_unit("us").astype("int64").to_numpy())
        middle = np.unique(times[:: max(1, len(times) // 9)]).tolist()
        edges = sorted({times[0] - 1, *middle, times[-1], times[-1] + 1})
        counted = [np.searchsorted(times, edge) for edge in edges]
        assert store.event_counts(group, edges) == np.diff(counted).tolist()


def test_a_range_of_event_times_is_found_by_its_index(repository: Path, port: int) -> None:
    """After a large commit Postgres knows how the event times lie, and reads of a range only where it is."""
    with connect("feast", path=repository) as store:
        store.apply(GROUP)
        store.write(GROUP, rows(25_000))
        times = store.read(GROUP)["event_time"].sort_values(ignore_index=True)
    database = json.loads((repository / "feature_store.yaml").read_text())["offline_store"]["database"]
    with psycopg.connect(host="127.0.0.1", port=port, user="postgres", dbname=database) as connection:
        [(table, *_), *_] = connection.execute(
            "SELECT tablename FROM pg_tables WHERE tablename LIKE 'btcfs_mixed%' ORDER BY length(tablename)"
        ).fetchall()
        plan = connection.execute(
            f"EXPLAIN SELECT * FROM {quoted(table)} WHERE event_time >= '{times[30_000]}' AND event_time < '{times[30_900]}'"
        ).fetchall()
    assert "event_time_idx" in str(plan)


def test_other_data_is_refused(source: FeatureStore, repository: Path, tmp_path: Path) -> None:
    """A repository whose group has rows of its own, or another definition, is left as it was."""
    with connect("feast", path=repository) as target:
        target.apply(NOTES)
        target.write(NOTES, notes(1))
        with pytest.raises(CheckFailed, match="already holds other data in notes v1"):
            copy_store(source, target)
        target.apply(FeatureGroup("mixed", 1, GROUP.features[:1], interval="1h"))
        with pytest.raises(DefinitionError, match="mixed"):
            copy_store(source, target, ["mixed"])

        assert len(target.definitions()) == 2
        assert len(target.read(NOTES)) == 1


def test_a_server_that_goes_away_half_way(source: FeatureStore, repository: Path, port: int, tmp_path: Path) -> None:
    """Connections that break in the middle stop the copy with an error of ours; the same copy then completes it."""

    def broken(written: int) -> None:
        with psycopg.connect(host="127.0.0.1", port=port, user="postgres", dbname="postgres", autocommit=True) as admin:
            admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()")

    with connect("feast", path=repository) as target, pytest.raises(StoreUnavailable, match="The same command goes on"):
        copy_store(source, target, journal=tmp_path / "journal", progress=broken)
    with connect("feast", path=repository) as target:
        copy_store(source, target, journal=tmp_path / "journal")

        assert same_past(source, target)


def test_a_registry_that_changed_meanwhile(source: FeatureStore, repository: Path, tmp_path: Path) -> None:
    """A group that another client takes away while it is copied stops the copy; without its journal, it makes the group anew."""
    with connect("feast", path=repository) as target:

        def removed(rows: int) -> None:
            feast.FeatureStore(repo_path=str(repository)).delete_feature_view("mixed__v1")

        with pytest.raises(NotFound, match="mixed"):
            copy_store(source, target, ["mixed:1"], journal=tmp_path / "journal", size=16, progress=removed)
        (tmp_path / "journal").unlink()
        copy_store(source, target, ["mixed:1"], journal=tmp_path / "journal")

        assert same_past(source, target, [GROUP])


def test_a_small_commit_is_read_alone(repository: Path) -> None:
    """Of a commit only the rows in the range asked for come back, also where others have them in a newer state."""
    with connect("feast", path=repository) as store:
        store.apply(GROUP)
        first, second = rows(40), rows(10, first=20, seed=1)
        store.write(GROUP, first)
        store.write(GROUP, second)
        one, two = store.commits(GROUP)
        low, high = (pd.Timestamp(first["timestamp"][place]).to_pydatetime() for place in (25, 35))

        assert (one.rows, two.rows) == (80, 20)
        assert len(store.changes(GROUP, one, low, high)) == 20
        assert len(store.changes(GROUP, two, low, high)) == 2 * 6
        assert len(store.changes(GROUP, two)) == 20


def test_every_value_survives(port: int) -> None:
    """Texts of any kind, empty and missing ones, far times, odd floats and both truths are the same in Postgres, and back."""
    random = np.random.default_rng(5)
    count = 40_000  # more than one part of a COPY
    words = ["", "a", "Ünïcode ₿", "line\nbreak", 'quo"te,', "\\N", "x" * 300]
    instants = [-62_135_596_800_000_000, -1, 0, 946_684_800_000_000, 253_402_300_799_999_999, None]
    floats = np.array([0.0, 5e-324, -1.7976931348623157e308, 0.1, np.nan])
    table = pa.table(
        {
            "f": floats[random.integers(0, 5, count)],
            "word": pa.array([None if k == 7 else words[k] for k in random.integers(0, 8, count)], pa.string()),
            "n": random.integers(-(2**63), 2**63 - 1, count),
            "at": pa.array([instants[k] for k in random.integers(0, 6, count)], pa.timestamp("us", "UTC")),
            "up": random.random(count) < 0.5,
            "other": pa.array([f"row {k}" for k in range(count)]),
            "cells": np.arange(count),
        }
    )
    with (
        psycopg.connect(host="127.0.0.1", port=port, user="postgres", dbname="postgres") as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute(f"CREATE TEMP TABLE given ({', '.join(f'{quoted(n)} {TYPES[t]}' for n, t in DTYPES.items())})")
        put(cursor, "given", table, DTYPES)
        back = get(cursor, f"SELECT {listed(DTYPES)} FROM given", DTYPES)
        empty = get(cursor, f"SELECT {listed(DTYPES)} FROM given WHERE false", DTYPES)
        told = cursor.execute(
            "SELECT f, word, n, extract(epoch FROM at) * 1000000, up FROM given LIMIT 5000"
        ).fetchall()

    for name in DTYPES:
        assert back.column(name).to_pylist()[:0] == empty.column(name).to_pylist()
        if name != "f":
            assert back.column(name).combine_chunks().equals(table.column(name).combine_chunks())
    assert np.array_equal(back.column("f").to_numpy().view("int64"), table.column("f").to_numpy().view("int64"))
    for row, (f, word, n, at, up) in enumerate(told):
        mine = [table.column(name)[row] for name in ("f", "word", "n", "up")]
        assert (word, n, up) == tuple(value.as_py() for value in mine[1:])
        assert f == mine[0].as_py() or np.isnan(f)
        assert (None if at is None else int(at)) == table.column("at")[row].cast(pa.int64()).as_py()


@pytest.mark.parametrize("changed", ["f = NULL", "up = NULL", "f = NULL, n = NULL, up = NULL, cells = NULL"])
@pytest.mark.parametrize("where", ["true", "cells = 7"])
@pytest.mark.parametrize("alike", [True, False])
def test_a_missing_number_is_named(port: int, changed: str, where: str, alike: bool) -> None:
    """A NULL that only another client can have written is an error that names its column, however the other rows look."""
    word = pa.array(["x" if alike else "x" * k for k in range(20)])
    moments = pa.array([None] * 20, pa.timestamp("us", "UTC"))
    number, flag = np.arange(20), np.ones(20, dtype=bool)
    table = pa.table([number / 1.0, word, number, moments, flag, word, number], names=list(DTYPES))
    with (
        psycopg.connect(host="127.0.0.1", port=port, user="postgres", dbname="postgres") as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute(f"CREATE TEMP TABLE given ({', '.join(f'{quoted(n)} {TYPES[t]}' for n, t in DTYPES.items())})")
        put(cursor, "given", table, DTYPES)
        cursor.execute(f"UPDATE given SET {changed} WHERE {where}")
        with pytest.raises(StoreUnavailable, match=f"a value of {changed.split()[0]} is NULL in Postgres"):
            get(cursor, f"SELECT {listed(DTYPES)} FROM given", DTYPES)
