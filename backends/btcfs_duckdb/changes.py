"""One change of a store: the offline commit first, then the online one that carries the same number."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import duckdb

from btcfs.errors import BtcfsError
from btcfs_duckdb import engine
from btcfs_duckdb.mirror import Mirror

logger = logging.getLogger(__name__)


class Change:
    """Open transactions on both files. Whoever reads afterwards sees all of it, or nothing."""

    def __init__(self, connection: Any, mirror: Mirror, path: Path, between: Callable[[], None]) -> None:
        self.connection = connection
        self.mirror = mirror
        self._path = path
        self._between = between
        try:
            with engine.translated(path):
                connection.execute("BEGIN TRANSACTION")
                self.before = engine.meta(connection)
        except BaseException:  # whatever stopped it, the online transaction must not stay open
            mirror.rollback()
            raise

    @property
    def seq(self) -> int:
        """The number of this change."""
        return self.before.seq + 1

    def commit(self, undo: Callable[[], None] | None = None) -> None:
        """Make it visible and lasting; ``undo`` takes the offline half back if the online half fails."""
        self.mirror.prepare()
        with engine.translated(self._path):
            self.connection.execute("COMMIT")
        self._between()
        try:
            self.mirror.commit(self.seq)
        except BtcfsError:
            self.mirror.rollback()
            if undo is not None:
                self._undone(undo)
            raise

    def rollback(self) -> None:
        """Leave both files as they were."""
        self.mirror.rollback()
        with suppress(duckdb.Error):  # a transaction that failed by itself has ended already
            self.connection.execute("ROLLBACK")

    def _undone(self, undo: Callable[[], None]) -> None:
        try:
            undo()
        except duckdb.Error:
            logger.exception(
                "change %d of %s is in the offline tables only; the online table follows when the store is next opened",
                self.seq,
                self._path,
            )
