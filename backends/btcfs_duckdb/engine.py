"""Opening the DuckDB file: its settings, what it must be to be ours, and DuckDB's errors in our words."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs
import duckdb

from btcfs.errors import BtcfsError, ConfigError, StoreBusy, StoreUnavailable

APPLICATION = "btcfs"
FORMAT = 1

_SETTINGS: dict[str, Any] = {
    # Nothing may be fetched from the network behind the user's back.
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    # Written blocks are kept in memory up to this; reads and writes of millions of rows run well within it.
    "memory_limit": "384MB",
}

_CREATE = (
    "CREATE TABLE meta (application VARCHAR, format BIGINT, store VARCHAR, seq BIGINT, committed_at TIMESTAMPTZ)",
    "CREATE TABLE definitions (kind VARCHAR, name VARCHAR, version BIGINT, applied BIGINT, fingerprint VARCHAR, "
    "body VARCHAR)",
    "CREATE TABLE commits (seq BIGINT, commit_id VARCHAR, committed_at TIMESTAMPTZ, grp VARCHAR, version BIGINT, "
    'inserted BIGINT, updated BIGINT, unchanged BIGINT, "start" TIMESTAMPTZ, "end" TIMESTAMPTZ)',
)


@attrs.frozen
class Meta:
    """What the offline file says of itself: which store it is, and the number of its last change."""

    store: str
    seq: int
    committed_at: int


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """DuckDB's errors as ours."""
    try:
        yield
    except duckdb.Error as exc:
        raise _ours(path, exc) from exc


@contextmanager
def opened(path: Path, *, read_only: bool) -> Iterator[Any]:
    """A connection for the length of a with block; the file is open no longer than that."""
    with translated(path):
        connection = _connected(path, read_only=read_only)
    try:
        yield connection
    finally:
        with translated(path):
            connection.close()


def _connected(path: Path, *, read_only: bool, patience: float = 5.0) -> Any:
    # DuckDB before 2.0 refuses a file that another thread of this process is just closing; it is over in a moment.
    until = time.monotonic() + patience
    while True:
        try:
            return duckdb.connect(str(path), read_only=read_only, config=_SETTINGS)
        except duckdb.BinderException as exc:
            if "Unique file handle conflict" not in str(exc) or time.monotonic() > until:
                raise
        time.sleep(0.005)


def create(path: Path) -> None:
    """Make a new, empty store file."""
    with opened(path, read_only=False) as connection, translated(path):
        connection.execute("BEGIN TRANSACTION")
        for statement in _CREATE:
            connection.execute(statement)
        connection.execute(
            f"INSERT INTO meta VALUES ('{APPLICATION}', {FORMAT}, '{uuid.uuid4()}', 0, make_timestamptz(0))"
        )
        connection.execute("COMMIT")


def check(path: Path) -> None:
    """Look, without changing a byte, whether the file is a store of ours. ConfigError if it is not."""
    with opened(path, read_only=True) as connection, translated(path):
        tables = {name for (name,) in fetched(connection, "SELECT table_name FROM duckdb_tables()")}
        if "meta" not in tables:
            raise _foreign(path, f"it has the tables {', '.join(sorted(tables)[:5]) or 'of an empty database'}")
        columns = [
            c for (c,) in fetched(connection, "SELECT column_name FROM duckdb_columns() WHERE table_name='meta'")
        ]
        if columns[:2] != ["application", "format"]:
            raise _foreign(path, "its table 'meta' is another's")
        application, version = fetched(connection, "SELECT application, format FROM meta")[0]
    if application != APPLICATION:
        raise _foreign(path, f"it belongs to {application!r}")
    if version > FORMAT:
        raise ConfigError(
            f"{path} has format {version}, this btcfs knows up to {FORMAT}; it was left untouched. "
            f"Upgrade with pip install --upgrade btcfs, or name another folder with path="
        )


def meta(connection: Any) -> Meta:
    row = fetched(connection, "SELECT store, seq, epoch_us(committed_at) FROM meta")[0]
    return Meta(*row)


def fetched(connection: Any, query: str, params: list[Any] | None = None) -> list[tuple[Any, ...]]:
    """All rows of a query; a result left half read would keep the connection busy."""
    rows: list[tuple[Any, ...]] = connection.execute(query, params or []).fetchall()
    return rows


def _foreign(path: Path, found: str) -> ConfigError:
    return ConfigError(
        f"{path} is not a btcfs store: {found}; it was left untouched. Name another folder with path=, "
        f"--path or BTCFS_DUCKDB_PATH"
    )


def _ours(path: Path, exc: duckdb.Error) -> BtcfsError:
    text = str(exc)
    if "not a valid DuckDB database file" in text:
        return _foreign(path, "it is no DuckDB file")
    if "Conflicting lock" in text or "different configuration" in text:
        return StoreBusy(
            f"{path} is open in another program, beside btcfs and its lock: {text}. Close it there and try again"
        )
    if "No space left" in text or "File too large" in text:
        return StoreUnavailable(f"cannot write {path}: the disk is full ({text}). Make room and run the same again")
    if "Permission denied" in text or "read-only" in text.lower():
        return StoreUnavailable(f"cannot write {path}: {text}. The folder must be writable by this user (chown, chmod)")
    return StoreUnavailable(f"DuckDB failed on {path}: {text}")
