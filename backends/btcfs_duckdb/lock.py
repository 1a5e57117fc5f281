"""One writer or many readers, across processes and threads, in a lock that ends with the process that holds it."""

from __future__ import annotations

import json
import os
import socket
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from btcfs.errors import StoreBusy, StoreUnavailable
from btcfs.instants import now


class StoreLock:
    """A lock file that many may share or one may have.

    The file is an SQLite database without a table and its lock is ours: SQLite takes it in the way
    each platform does best, waits for it, lets no new reader pass a waiting writer, and the system
    releases it when the process dies.
    """

    def __init__(self, path: Path, holder: Path) -> None:
        self._path = path
        self._holder = holder

    @contextmanager
    def shared(self, timeout: float) -> Iterator[None]:
        """Hold the lock together with other readers; StoreBusy if a writer does not finish within so many seconds."""
        connection = self._acquire(timeout, "BEGIN", "SELECT count(*) FROM sqlite_master")
        try:
            yield
        finally:
            connection.close()

    @contextmanager
    def exclusive(self, timeout: float) -> Iterator[None]:
        """Hold the lock alone, and say so in the holder's file; StoreBusy if others do not finish in time."""
        connection = self._acquire(timeout, "BEGIN EXCLUSIVE")
        try:
            self._sign()
            yield
        finally:
            with suppress(OSError):  # what it says is only for messages, and the next holder writes it anew
                self._holder.unlink()
            connection.close()

    def busy(self, timeout: float) -> StoreBusy:
        """The error that names who holds the lock."""
        try:
            held = json.loads(self._holder.read_text())
            who = "by process {pid} on {host} ({command}) since {since}".format(**held)
        except (OSError, ValueError, KeyError):
            who = "by processes that read it"
        return StoreBusy(
            f"the store in {self._path.parent} is in use {who}, and still was after {timeout:.3g} s. Try again "
            f"later or wait longer with lock_timeout; the lock is free as soon as that process ends"
        )

    def _acquire(self, timeout: float, *statements: str) -> sqlite3.Connection:
        try:
            connection = sqlite3.connect(self._path, timeout=timeout, isolation_level=None)
        except sqlite3.OperationalError as exc:
            raise self._unusable(exc) from exc
        try:
            if not self._path.stat().st_size:
                # In an empty database even a lock writes, and leaves a journal when its holder is killed.
                connection.execute("PRAGMA user_version=1")
            for statement in statements:
                connection.execute(statement).fetchall()
        except sqlite3.DatabaseError as exc:
            connection.close()
            if "locked" in str(exc):
                raise self.busy(timeout) from exc
            raise self._unusable(exc) from exc
        return connection

    def _sign(self) -> None:
        signed = {
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "command": Path(sys.argv[0]).name if sys.argv else "",
            "since": now().isoformat(timespec="seconds"),
        }
        draft = self._holder.with_suffix(".draft")
        try:
            draft.write_text(json.dumps(signed))
            draft.replace(self._holder)
        except OSError as exc:
            raise self._unusable(exc) from exc

    def _unusable(self, exc: Exception) -> StoreUnavailable:
        advice = (
            "The folder and its files must be writable by this user (chown or chmod them), or name another with path="
        )
        if "full" in str(exc) or "No space left" in str(exc):
            advice = "Make room on the disk and run the same again"
        return StoreUnavailable(f"cannot lock the store in {self._path.parent}: {exc}. {advice}")
