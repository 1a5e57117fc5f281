"""The MySQL protocol over the in-process online tables, for the drivers that clients read vectors with."""

from __future__ import annotations

import asyncio
import re
import secrets
import sqlite3
import threading
import time
from collections.abc import AsyncIterator, Sequence
from decimal import Decimal
from typing import Any

import attrs
from mysql_mimic import IdentityProvider, MysqlServer, NativePasswordAuthPlugin, Session, User
from mysql_mimic.charset import CharacterSet
from mysql_mimic.errors import ErrorCode, MysqlError
from mysql_mimic.results import AllowedResult, ResultColumn, infer_type
from mysql_mimic.types import ColumnType

from btcfs_hopsworks.emulator.call_log import Call, CallLog
from btcfs_hopsworks.emulator.knobs import Fault, Knobs
from btcfs_hopsworks.emulator.online_sqlite import SqliteTables
from btcfs_hopsworks.emulator.online_tables import Row
from btcfs_hopsworks.emulator.online_values import Value
from btcfs_hopsworks.emulator.planes import OnlineAddress

USER = "emulator"

_OF_TABLES = re.compile(r"\s*SELECT\b.*?\bFROM\b(?!\s+information_schema)", re.IGNORECASE | re.DOTALL)


class _Identity(IdentityProvider):
    def __init__(self, user: str, password: str) -> None:
        self.user = User(user, NativePasswordAuthPlugin.create_auth_string(password), NativePasswordAuthPlugin.name)

    async def get_user(self, username: str) -> User | None:
        return self.user if username == self.user.name else None


class _Session(Session):
    """One connection: queries of tables go to them, everything else is answered as MySQL would."""

    def __init__(self, tables: SqliteTables, knobs: Knobs, calls: CallLog) -> None:
        super().__init__()
        self.tables, self.knobs, self.calls = tables, knobs, calls

    async def handle_query(self, sql: str, attrs: dict[str, str]) -> AllowedResult:
        if not _OF_TABLES.match(sql):
            return await super().handle_query(sql, attrs)
        begun = time.perf_counter()
        fault = self.knobs.take(f"mysql {sql}")
        if fault is not None and fault.kind != "torn":
            await self._suffer(fault)
        try:
            rows, names = self.tables.select(self.database or "", sql)
        except sqlite3.Error as exc:
            raise MysqlError(f"{exc} in: {sql}", ErrorCode.PARSE_ERROR) from exc
        self.calls.record(Call("mysql", sql, None, (time.perf_counter() - begun) * 1000))
        columns = [_column(name, [row[place] for row in rows]) for place, name in enumerate(names)]
        return (self._torn(rows) if fault is not None else rows), columns

    async def _suffer(self, fault: Fault) -> None:
        if fault.kind == "hang":
            await asyncio.sleep(fault.seconds)
        elif fault.kind == "drop":
            self._drop()
        raise MysqlError(f"the emulator was told to fail this statement ({fault.kind})")

    async def _torn(self, rows: Sequence[Row]) -> AsyncIterator[Row]:
        for row in rows[: max(1, len(rows) // 2)]:
            yield row
        self._drop()

    def _drop(self) -> None:
        self.connection.stream.writer.transport.abort()
        # What ends the connection's task without an answer that nobody would receive.
        raise asyncio.CancelledError


def _column(name: str, values: Sequence[Value]) -> ResultColumn:
    """A column's description, from its first value that is not null."""
    first = next((value for value in values if value is not None), None)
    if isinstance(first, bytes):
        return ResultColumn(name, ColumnType.BLOB, CharacterSet.binary)
    if isinstance(first, Decimal):
        return ResultColumn(name, ColumnType.NEWDECIMAL)
    return ResultColumn(name, ColumnType.NULL if first is None else infer_type(first))


@attrs.define
class MysqlWire:
    """A running server; ``close`` ends it and its connections."""

    address: OnlineAddress
    _loop: asyncio.AbstractEventLoop
    _thread: threading.Thread

    def close(self) -> None:
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(5)


def serve(tables: SqliteTables, knobs: Knobs, calls: CallLog, host: str, port: int = 3306) -> MysqlWire:
    """Starts to listen and returns once clients can connect; port 0 takes any. OSError if the port is taken."""
    password = secrets.token_hex(8)
    server = MysqlServer(
        session_factory=lambda: _Session(tables, knobs, calls), identity_provider=_Identity(USER, password)
    )
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=_run, args=(loop, server), name="emulator-mysql", daemon=True)
    thread.start()
    try:
        asyncio.run_coroutine_threadsafe(server.start_server(host=host, port=port), loop).result(10)
    except OSError:
        loop.call_soon_threadsafe(loop.stop)
        raise
    taken: tuple[Any, ...] = server.sockets()[0].getsockname()
    return MysqlWire(OnlineAddress(host, taken[1], USER, password), loop, thread)


def _run(loop: asyncio.AbstractEventLoop, server: Any) -> None:
    asyncio.set_event_loop(loop)
    loop.set_exception_handler(_reported)
    try:
        loop.run_forever()
        server.close()
        pending = asyncio.all_tasks(loop)
        for task in pending:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*pending, return_exceptions=True))
        loop.run_until_complete(loop.shutdown_asyncgens())
    finally:
        loop.close()


def _reported(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    # Before Python 3.12 a connection whose task is cancelled is reported, although nothing is wrong with it.
    if not isinstance(context.get("exception"), (asyncio.CancelledError, ConnectionError)):
        loop.default_exception_handler(context)
