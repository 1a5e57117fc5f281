"""The online SQLite file: its tables, and what it says of itself."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import attrs

from btcfs.definitions import Definition, FeatureGroup, definition_from_dict
from btcfs.errors import BtcfsError, StoreUnavailable

FORMAT = 2

_CREATE = (
    "CREATE TABLE meta (format INTEGER, store TEXT, seq INTEGER, epoch INTEGER, stamp TEXT)",
    "CREATE TABLE definitions (kind TEXT, name TEXT, version INTEGER, applied INTEGER, changed INTEGER, body TEXT, "
    "PRIMARY KEY (kind, name, version))",
    "CREATE TABLE segments (applied INTEGER, entity TEXT, first INTEGER, last INTEGER, rows INTEGER, file TEXT)",
    "CREATE INDEX segments_by_entity ON segments (applied, entity)",
)


@attrs.frozen
class State:
    """Which store the file belongs to, up to which change it follows it, and how the offline file looked then.

    ``epoch`` changes whenever definitions or segments do.
    """

    store: str
    seq: int
    epoch: int
    stamp: str


@attrs.frozen
class Stored:
    """A definition and the number of the change that applied it, which names its table."""

    definition: Definition
    applied: int


def connect(path: Path, timeout: float) -> sqlite3.Connection:
    """A connection to an existing file, of which each may be used by any thread, one at a time."""
    with translated(path):
        connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode=rw",
            uri=True,
            timeout=timeout,
            isolation_level=None,
            check_same_thread=False,
        )
        try:
            # What a crash of the machine takes from this file is replayed from the offline tables.
            connection.execute("PRAGMA synchronous=NORMAL")
        except sqlite3.DatabaseError:
            connection.close()
            raise
    return connection


def create(path: Path, store: str) -> None:
    """Make a new, empty online file that follows this store."""
    with translated(path):
        connection = sqlite3.connect(path, isolation_level=None)
        try:
            connection.execute("PRAGMA page_size=8192")
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("BEGIN IMMEDIATE")
            for statement in _CREATE:
                connection.execute(statement)
            connection.execute("INSERT INTO meta VALUES (?, ?, 0, 0, '')", (FORMAT, store))
            connection.execute("COMMIT")
        finally:
            connection.close()


def state(connection: sqlite3.Connection) -> State:
    """What the file says. StoreUnavailable if it is no online file, or one of another format."""
    row = connection.execute("SELECT store, seq, epoch, stamp FROM meta WHERE format=?", (FORMAT,)).fetchone()
    if row is None:
        raise StoreUnavailable(f"the online table has not format {FORMAT}. Run btcfs store rebuild-online")
    return State(*row)


def stored(connection: sqlite3.Connection) -> list[Stored]:
    """Every definition, groups first, by name and version."""
    rows = connection.execute("SELECT applied, body FROM definitions ORDER BY kind, name, version").fetchall()
    return [Stored(definition_from_dict(json.loads(body)), applied) for applied, body in rows]


def last_changes(connection: sqlite3.Connection, groups: Iterable[tuple[str, int]]) -> tuple[int, ...]:
    """For each group the number of the last change of its rows, -1 for one that is not stored."""
    query = "SELECT changed FROM definitions WHERE kind='group' AND name=? AND version=?"
    return tuple((connection.execute(query, ref).fetchone() or (-1,))[0] for ref in groups)


def table(applied: int) -> str:
    """The table of the rows of a group; another group of the same name and version gets another."""
    return f"rows_{applied}"


def create_table(group: FeatureGroup, applied: int) -> list[str]:
    name = table(applied)
    statements = [
        f"CREATE TABLE {name} (entity TEXT, ts INTEGER, event_time INTEGER, payload BLOB, "
        f"PRIMARY KEY (entity, ts)) WITHOUT ROWID"
    ]
    if group.has_time_key and group.interval is None:
        # Without an interval the newest row is not the one with the greatest time key.
        statements.append(f"CREATE INDEX {name}_known ON {name} (entity, event_time, ts)")
    return statements


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """SQLite's errors as ours."""
    try:
        yield
    except sqlite3.DatabaseError as exc:
        raise ours(path, exc) from exc


def ours(path: Path, exc: sqlite3.DatabaseError) -> BtcfsError:
    text = str(exc)
    if "full" in text or "disk I/O" in text:
        return StoreUnavailable(f"cannot write {path}: {text}. Make room on the disk and run the same again")
    if "readonly" in text or "unable to open" in text:
        return StoreUnavailable(
            f"cannot open {path}: {text}. The folder and its files must be there and writable by this user"
        )
    return StoreUnavailable(
        f"the online table {path} cannot be used: {text}. Run btcfs store rebuild-online, which builds it anew "
        f"from the offline tables"
    )
