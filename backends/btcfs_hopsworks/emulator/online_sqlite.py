"""Online tables in this process, in SQLite: the stand-in for RonDB when no MySQL server is at hand."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import attrs

from btcfs_hopsworks.emulator.metadata import Feature, Group
from btcfs_hopsworks.emulator.online_tables import Row, qualified, quoted
from btcfs_hopsworks.emulator.online_values import Value, online_type
from btcfs_hopsworks.emulator.sqlite_dialect import translated

# sqlite3 finds a column's reader by the first word of its declared type, in a table that the whole process
# shares; hence names that nobody else uses. What they contain also decides SQLite's affinity: CHAR is text.
_READERS: dict[str, Callable[[bytes], Any]] = {
    "HWTIMESTAMPCHAR": lambda raw: datetime.fromisoformat(raw.decode()),
    "HWDATECHAR": lambda raw: date.fromisoformat(raw.decode()),
    "HWDECIMALCHAR": lambda raw: Decimal(raw.decode()),
    # MySQL prints a FLOAT with six digits.
    "HWFLOAT": lambda raw: float(f"{float(raw):.6g}"),
}
_DECLARED = (
    ("timestamp", "HWTIMESTAMPCHAR"),
    ("datetime", "HWTIMESTAMPCHAR"),
    ("date", "HWDATECHAR"),
    ("decimal", "HWDECIMALCHAR"),
    ("float", "HWFLOAT"),
    ("double", "DOUBLE"),
    ("varbinary", "BLOB"),
    ("binary", "BLOB"),
    ("blob", "BLOB"),
    ("tinyint", "INTEGER"),
    ("smallint", "INTEGER"),
    ("bigint", "INTEGER"),
    ("int", "INTEGER"),
)


def declared(feature: Feature) -> str:
    """The type a column is declared with in SQLite."""
    kind = online_type(feature)
    return next((name for start, name in _DECLARED if kind.startswith(start)), "VARCHAR")


def stored(value: Value) -> Value:
    """A value as SQLite keeps it: instants, dates and decimals as text."""
    if isinstance(value, datetime):
        return value.isoformat(" ")
    if isinstance(value, date):
        return value.isoformat()
    return str(value) if isinstance(value, Decimal) else value


@attrs.define
class SqliteTables:
    """Tables of all projects, one in-memory database for each; any thread may use them."""

    _databases: dict[str, sqlite3.Connection] = attrs.field(factory=dict, init=False)
    _lock: threading.RLock = attrs.field(factory=threading.RLock, init=False, repr=False)

    def create(self, database: str, group: Group) -> None:
        columns = [f"{quoted(feature.name)} {declared(feature)}" for feature in group.online_features]
        if group.primary_key:
            columns.append(f"PRIMARY KEY ({', '.join(map(quoted, group.primary_key))})")
        self._run(database, f"CREATE TABLE IF NOT EXISTS {qualified(database, group)} ({', '.join(columns)})")

    def add_columns(self, database: str, group: Group, added: Sequence[Feature]) -> None:
        for feature in added:
            column = f"{quoted(feature.name)} {declared(feature)}"
            self._run(database, f"ALTER TABLE {qualified(database, group)} ADD COLUMN {column}")

    def drop(self, database: str, group: Group) -> None:
        self._run(database, f"DROP TABLE IF EXISTS {qualified(database, group)}")

    def clear(self, database: str, group: Group) -> None:
        self._run(database, f"DELETE FROM {qualified(database, group)}")

    def upsert(self, database: str, group: Group, rows: Sequence[Row], *, if_newer: bool = False) -> int:
        names = [quoted(feature.name) for feature in group.online_features]
        sql = (
            f"INSERT INTO {qualified(database, group)} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})"
            f" ON CONFLICT DO UPDATE SET {', '.join(f'{name} = excluded.{name}' for name in names)}"
        )
        if if_newer and group.event_time:
            event_time = quoted(group.event_time)
            sql += f" WHERE {event_time} IS NULL OR excluded.{event_time} >= {event_time}"
        with self._lock:
            connection = self._database(database)
            before = connection.total_changes
            plain = all(declared(feature) not in _READERS for feature in group.online_features)
            connection.executemany(sql, rows if plain else ([stored(value) for value in row] for row in rows))
            return connection.total_changes - before

    def delete(self, database: str, group: Group, keys: Sequence[Row]) -> int:
        where = " AND ".join(f"{quoted(name)} = ?" for name in group.primary_key)
        with self._lock:
            self._database(database).executemany(
                f"DELETE FROM {qualified(database, group)} WHERE {where}",
                ([stored(value) for value in key] for key in keys),
            )
        return len(keys)

    def read(self, database: str, group: Group, keys: Sequence[Row]) -> list[Row | None]:
        names = ", ".join(quoted(feature.name) for feature in group.online_features)
        where = " AND ".join(f"{quoted(name)} = ?" for name in group.primary_key)
        sql = f"SELECT {names} FROM {qualified(database, group)} WHERE {where}"
        with self._lock:
            connection = self._database(database)
            return [connection.execute(sql, [stored(value) for value in key]).fetchone() for key in keys]

    def select(self, database: str, sql: str) -> tuple[list[Row], list[str]]:
        """The rows and column names of a query in MySQL's dialect. sqlite3.Error if it cannot be run."""
        with self._lock:
            cursor = self._database(database).execute(*translated(sql))
            return cursor.fetchall(), [column[0] for column in cursor.description or ()]

    def close(self) -> None:
        with self._lock:
            for connection in self._databases.values():
                connection.close()
            self._databases.clear()

    def _run(self, database: str, sql: str) -> None:
        with self._lock:
            self._database(database).execute(sql)

    def _database(self, name: str) -> sqlite3.Connection:
        found = self._databases.get(name)
        if found is None:
            for word, reader in _READERS.items():
                sqlite3.register_converter(word, reader)
            found = sqlite3.connect(
                ":memory:", detect_types=sqlite3.PARSE_DECLTYPES, check_same_thread=False, isolation_level=None
            )
            found.execute(f"ATTACH ':memory:' AS {quoted(name)}")
            self._databases[name] = found
        return found
