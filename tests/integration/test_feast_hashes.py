"""What a Postgres reckons of the rows that it holds, against what numpy reckons of the rows that it gives back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pandas as pd
import pytest

pytest.importorskip("feast", reason="the extra btcfs[feast] is not installed")

import servers
from btcfs.connection import connect
from btcfs.errors import CheckFailed
from btcfs.store import FeatureStore
from btcfs.transfer.copying import copy_store
from btcfs.transfer.digests import digest, own_digest
from btcfs_feast.postgres_copy import quoted
from moving import GROUP, HOUR, NEWER, NOTES, START, filled, same_past
from repositories import all_in_postgres

psycopg = pytest.importorskip("psycopg", reason="the extra btcfs[feast-postgres] is not installed")


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with servers.postgres() as running:
        yield running


def asked(repository: Path, port: int, statement: str) -> list[tuple[str, ...]]:
    """The answer of the database of this repository."""
    database = json.loads((repository / "feature_store.yaml").read_text())["offline_store"]["database"]
    with psycopg.connect(host="127.0.0.1", port=port, user="postgres", dbname=database, autocommit=True) as connection:
        cursor = connection.execute(statement)
        return cursor.fetchall() if cursor.description else []


def table_of(repository: Path, port: int, name: str) -> str:
    """The table of the rows that a group has now."""
    found = asked(repository, port, f"SELECT tablename FROM pg_tables WHERE tablename LIKE 'btcfs_{name}%'")
    return min((table for (table,) in found), key=len)


def test_hashes_are_those_of_the_rows(port: int, tmp_path: Path) -> None:
    """Of every type, with what is missing, of each commit and of the newest rows, in any range; a group without an
    interval has none."""
    ranges = [(None, None), (START + 30 * HOUR, None), (None, START + 9 * HOUR), (START + 7 * HOUR, START + 57 * HOUR)]
    with connect("feast", path=all_in_postgres(tmp_path / "repo", port)) as store:
        filled(store)
        for group in (GROUP, NEWER):
            for start, end in ranges:
                found = own_digest(store, group, None, start, end)
                assert found is not None
                assert found.hex() == digest(group, store.read(group, start, end)).hex()
                for commit in store.commits(group):
                    found = own_digest(store, group, commit, start, end)
                    assert found is not None
                    assert found.hex() == digest(group, store.changes(group, commit, start, end)).hex()
        assert own_digest(store, NOTES, None, None, None) is None


def test_a_value_that_the_server_changes_is_found(port: int, tmp_path: Path) -> None:
    """A trigger of somebody's, which changes one value by its last bit, stops the copy, and what it changed is named."""
    repository = all_in_postgres(tmp_path / "repo", port)
    source = filled(connect("memory"))
    with connect("feast", path=repository) as target:
        target.apply(GROUP)
        asked(
            repository,
            port,
            "CREATE FUNCTION off() RETURNS trigger AS $$ BEGIN IF NEW.symbol = 'ETH-USD' AND NEW.volume > 0.5 THEN "
            "NEW.volume := NEW.volume + 2.0 ^ -53; END IF; RETURN NEW; END $$ LANGUAGE plpgsql",
        )
        table = quoted(table_of(repository, port, "mixed"))
        asked(repository, port, f"CREATE TRIGGER off BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION off()")
        with pytest.raises(CheckFailed, match="mixed v1 differs in volume on 2024-01-01"):
            copy_store(source, target, ["mixed:1"], journal=tmp_path / "journal")


@pytest.mark.parametrize(("column", "value"), [("trades", "4294967291"), ("up", "NOT up"), ("venue", "'coinbase'")])
def test_a_row_changed_behind_it_counts(port: int, tmp_path: Path, column: str, value: str) -> None:
    """What the server reckons follows the rows as they lie there, whoever changed them."""
    repository = all_in_postgres(tmp_path / "repo", port)
    with connect("feast", path=repository) as store:
        filled(store)
        before = own_digest(store, GROUP, None, None, None)
        moment = pd.Timestamp(START) + timedelta(hours=3)
        table = quoted(table_of(repository, port, "mixed__v1"))
        asked(repository, port, f"UPDATE {table} SET {column} = {value} WHERE \"timestamp\" = '{moment}'")
        after = own_digest(store, GROUP, None, None, None)
        assert before is not None
        assert after is not None
        assert [found[2] for found in after.unlike(before)] == [column]
        assert after.hex() == digest(GROUP, store.read(GROUP)).hex()


def test_a_server_of_another_encoding_is_read(port: int, tmp_path: Path) -> None:
    """Its hashes of texts would be others; rows are read back instead, and the copy is the same."""
    repository = all_in_postgres(tmp_path / "repo", port)
    database = json.loads((repository / "feature_store.yaml").read_text())["offline_store"]["database"]
    with psycopg.connect(host="127.0.0.1", port=port, user="postgres", dbname="postgres", autocommit=True) as admin:
        admin.execute(f"DROP DATABASE {database}")
        admin.execute(f"CREATE DATABASE {database} ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0")
    source: FeatureStore = filled(connect("memory"))
    with connect("feast", path=repository) as target:
        copy_store(source, target)
        assert own_digest(target, GROUP, None, None, None) is None
        assert same_past(source, target)
