"""Online tables in a real MySQL or MariaDB server."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import attrs
import pymysql

from btcfs_hopsworks.emulator.metadata import Feature, Group
from btcfs_hopsworks.emulator.online_tables import Row, qualified, quoted
from btcfs_hopsworks.emulator.online_values import online_type
from btcfs_hopsworks.emulator.planes import OnlineAddress


@attrs.define
class MariadbTables:
    """Tables of all projects, one database for each; any thread may use them."""

    address: OnlineAddress
    _connection: Any = attrs.field(init=False, repr=False)
    _lock: threading.RLock = attrs.field(factory=threading.RLock, init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self._connection = self._connect()

    def create(self, database: str, group: Group) -> None:
        columns = [_column(feature) for feature in group.online_features]
        if group.primary_key:
            columns.append(f"PRIMARY KEY ({', '.join(map(quoted, group.primary_key))})")
        self._run(f"CREATE DATABASE IF NOT EXISTS {quoted(database)}")
        self._run(f"CREATE TABLE IF NOT EXISTS {qualified(database, group)} ({', '.join(columns)})")

    def add_columns(self, database: str, group: Group, added: Sequence[Feature]) -> None:
        for feature in added:
            self._run(f"ALTER TABLE {qualified(database, group)} ADD COLUMN {_column(feature)}")

    def drop(self, database: str, group: Group) -> None:
        self._run(f"DROP TABLE IF EXISTS {qualified(database, group)}")

    def clear(self, database: str, group: Group) -> None:
        self._run(f"TRUNCATE TABLE {qualified(database, group)}")

    def upsert(self, database: str, group: Group, rows: Sequence[Row], *, if_newer: bool = False) -> int:
        names = [quoted(feature.name) for feature in group.online_features]
        sql = (
            f"INSERT INTO {qualified(database, group)} ({', '.join(names)}) VALUES ({', '.join(['%s'] * len(names))})"
            f" ON DUPLICATE KEY UPDATE {', '.join(f'{name} = VALUES({name})' for name in names)}"
        )
        with self._lock:
            kept = self._newer(database, group, rows) if if_newer and group.event_time else rows
            with self._cursor() as cursor:
                cursor.executemany(sql, kept)
        return len(kept)

    def delete(self, database: str, group: Group, keys: Sequence[Row]) -> int:
        with self._lock, self._cursor() as cursor:
            cursor.executemany(f"DELETE FROM {qualified(database, group)} WHERE {_where(group)}", keys)
        return len(keys)

    def read(self, database: str, group: Group, keys: Sequence[Row]) -> list[Row | None]:
        names = ", ".join(quoted(feature.name) for feature in group.online_features)
        sql = f"SELECT {names} FROM {qualified(database, group)} WHERE {_where(group)}"
        with self._lock, self._cursor() as cursor:
            return [cursor.fetchone() if cursor.execute(sql, key) else None for key in keys]

    def close(self) -> None:
        with self._lock:
            if self._connection.open:
                self._connection.close()

    def _newer(self, database: str, group: Group, rows: Sequence[Row]) -> list[Row]:
        """The rows that are not older in event time than what they would replace, in this order of writing."""
        names = [feature.name for feature in group.online_features]
        moment = names.index(group.event_time or "")
        keys = [tuple(row[names.index(name)] for name in group.primary_key) for row in rows]
        found = self.read(database, group, keys)
        there: dict[Row, Any] = {key: row[moment] for key, row in zip(keys, found, strict=True) if row}
        kept = []
        for key, row in zip(keys, rows, strict=True):
            written: Any = row[moment]
            if there.get(key) is None or (written is not None and written >= there[key]):
                there[key] = written
                kept.append(row)
        return kept

    def _run(self, sql: str) -> None:
        with self._lock, self._cursor() as cursor:
            cursor.execute(sql)

    def _cursor(self) -> Any:
        try:
            self._connection.ping(reconnect=False)
        except pymysql.Error:
            self._connection = self._connect()
        return self._connection.cursor()

    def _connect(self) -> Any:
        return pymysql.connect(
            host=self.address.host,
            port=self.address.port,
            user=self.address.user,
            password=self.address.password,
            charset="utf8mb4",
            init_command="SET time_zone = '+00:00'",
            autocommit=True,
        )


def _column(feature: Feature) -> str:
    kind = online_type(feature)
    return f"{quoted(feature.name)} {kind} {'NOT NULL' if feature.primary else 'NULL'}"


def _where(group: Group) -> str:
    return " AND ".join(f"{quoted(name)} = %s" for name in group.primary_key)


def connect(address: str) -> MariadbTables:
    """The tables of a server named as ``user:password@host:port``. ConnectionError if it does not answer."""
    account, _, place = address.rpartition("@")
    user, _, password = account.partition(":")
    host, _, port = place.partition(":")
    try:
        return MariadbTables(OnlineAddress(host, int(port or 3306), user, password))
    except pymysql.Error as exc:
        raise ConnectionError(f"no MySQL server answers at {place}: {exc}") from exc
