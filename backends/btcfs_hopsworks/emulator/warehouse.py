"""The offline store of the emulator in DuckDB: current rows, every committed row, and queries over both."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs
import duckdb
import pyarrow as pa

from btcfs_hopsworks.emulator.hive import to_duckdb
from btcfs_hopsworks.emulator.metadata import Feature, Group

COMMITTED = "_commit_ms"
DELETED = "_deleted"
FORMATS = ("parquet", "csv", "tsv")


@attrs.frozen
class Merged:
    """How many rows of a merge were new, and how many replaced one with the same key."""

    inserted: int
    updated: int


def quoted(name: str) -> str:
    """A name as DuckDB reads it."""
    return '"' + name.replace('"', '""') + '"'


def current(featurestore: str, group: Group) -> str:
    """The full name of the table of a group's current rows."""
    return f"{quoted(featurestore)}.{quoted(group.table)}"


def history(featurestore: str, group: Group) -> str:
    """The full name of the table of every row ever committed, with ``_commit_ms`` and ``_deleted``."""
    return f"{quoted(featurestore)}.{quoted(group.history_table)}"


@attrs.define
class Warehouse:
    """Tables of all feature stores; any thread may query, writes take turns."""

    _connection: Any = attrs.field(factory=lambda: duckdb.connect(":memory:"), init=False, repr=False)
    _writing: threading.RLock = attrs.field(factory=threading.RLock, init=False, repr=False)

    def create(self, featurestore: str, group: Group) -> None:
        """Makes the tables of a group; nothing if they are there."""
        columns = ", ".join(_column(feature) for feature in group.features)
        with self._writing:
            self._connection.execute(f"CREATE SCHEMA IF NOT EXISTS {quoted(featurestore)}")
            self._connection.execute(f"CREATE TABLE IF NOT EXISTS {current(featurestore, group)} ({columns})")
            self._connection.execute(
                f"CREATE TABLE IF NOT EXISTS {history(featurestore, group)}"
                f" ({columns}, {COMMITTED} BIGINT, {DELETED} BOOLEAN)"
            )

    def add_columns(self, featurestore: str, group: Group, added: Sequence[Feature]) -> None:
        """Adds columns after those that are there; older rows get their defaults."""
        with self._writing:
            for feature in added:
                for table in (current(featurestore, group), history(featurestore, group)):
                    default = "" if feature.default is None else f" DEFAULT {_literal(feature.default)}"
                    self._connection.execute(f"ALTER TABLE {table} ADD COLUMN {_column(feature)}{default}")

    def drop(self, featurestore: str, group: Group) -> None:
        with self._writing:
            for table in (current(featurestore, group), history(featurestore, group)):
                self._connection.execute(f"DROP TABLE IF EXISTS {table}")

    def clear(self, featurestore: str, group: Group) -> None:
        """Deletes every row, and the history too, as a truncated table has none."""
        with self._writing:
            for table in (current(featurestore, group), history(featurestore, group)):
                self._connection.execute(f"DELETE FROM {table}")

    def merge(self, featurestore: str, group: Group, rows: pa.Table, commit_ms: int) -> Merged:
        """Upserts rows by ``group.row_key``, all or nothing; the last row of a key wins. Columns by name."""
        table, names = current(featurestore, group), ", ".join(quoted(f.name) for f in group.features)
        key = group.row_key
        same = " AND ".join(f"t.{quoted(name)} IS NOT DISTINCT FROM i.{quoted(name)}" for name in key)
        cursor = self._cursor()
        with self._writing:
            cursor.register("incoming", _last_of_each(rows, key))
            cursor.execute("BEGIN")
            try:
                updated = 0
                if key:
                    deleted = f"DELETE FROM {table} t USING incoming i WHERE {same}"
                    updated = cursor.execute(deleted).fetchone()[0]
                written = cursor.execute(f"INSERT INTO {table} ({names}) SELECT {names} FROM incoming").fetchone()[0]
                cursor.execute(
                    f"INSERT INTO {history(featurestore, group)} ({names}, {COMMITTED}, {DELETED})"
                    f" SELECT {names}, {commit_ms}, FALSE FROM incoming"
                )
                cursor.execute("COMMIT")
            except duckdb.Error:
                cursor.execute("ROLLBACK")
                raise
            finally:
                cursor.unregister("incoming")
                cursor.close()
        return Merged(inserted=written - updated, updated=updated)

    def as_of(self, featurestore: str, group: Group, commit_ms: int, since_ms: int = 0) -> str:
        """The query of a group's rows as they were after the commits in ``(since_ms, commit_ms]``."""
        names = ", ".join(quoted(f.name) for f in group.features)
        span = f"{COMMITTED} > {since_ms} AND {COMMITTED} <= {commit_ms}"
        newest = ""
        if group.row_key:
            key = ", ".join(map(quoted, group.row_key))
            newest = f" QUALIFY row_number() OVER (PARTITION BY {key} ORDER BY {COMMITTED} DESC) = 1"
        rows = f"SELECT * FROM {history(featurestore, group)} WHERE {span}{newest}"
        return f"SELECT {names} FROM ({rows}) WHERE NOT {DELETED}"

    def query(self, sql: str) -> pa.Table:
        """The answer. duckdb.Error if the SQL is wrong."""
        cursor = self._cursor()
        try:
            return cursor.sql(sql).to_arrow_table()
        finally:
            cursor.close()

    def write_file(self, sql: str, path: Path) -> int:
        """Writes the answer to one file, of the format its suffix names, and returns the number of rows."""
        if path.suffix[1:] not in FORMATS:
            raise ValueError(f"cannot write {path.name}: expected one of {', '.join(FORMATS)}")
        path.parent.mkdir(parents=True, exist_ok=True)
        options = {"parquet": "FORMAT parquet", "csv": "HEADER", "tsv": r"HEADER, DELIMITER '\t'"}[path.suffix[1:]]
        cursor = self._cursor()
        try:
            rows: int = cursor.execute(f"COPY ({sql}) TO {_literal(str(path))} ({options})").fetchone()[0]
        finally:
            cursor.close()
        return rows

    def close(self) -> None:
        with self._writing:
            if self._connection is not None:
                self._connection.close()
            # A Flight server is never collected; through it, DuckDB would complain at exit of what it still holds.
            self._connection = None

    def _cursor(self) -> Any:
        if self._connection is None:
            raise duckdb.ConnectionException("the warehouse is closed")
        return self._connection.cursor()


def _column(feature: Feature) -> str:
    return f"{quoted(feature.name)} {to_duckdb(feature.type)}"


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _last_of_each(rows: pa.Table, key: Sequence[str]) -> pa.Table:
    """The rows without those that a later one with the same key replaces."""
    if not key or rows.num_rows < 2:
        return rows
    numbered = rows.select(list(key)).append_column("__row", pa.array(range(rows.num_rows), pa.int64()))
    last = numbered.group_by(list(key)).aggregate([("__row", "max")])["__row_max"]
    return rows if len(last) == rows.num_rows else rows.take(last.sort())
