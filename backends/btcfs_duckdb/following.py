"""Whether the online file still follows the offline one, told without opening DuckDB."""

from __future__ import annotations

import logging
import sqlite3

from btcfs.errors import StoreUnavailable
from btcfs_duckdb import online
from btcfs_duckdb.places import Places
from btcfs_duckdb.readers import Readers

logger = logging.getLogger(__name__)


class Following:
    """Compares how the offline file looks now with how it looked when the online one was last in step with it."""

    def __init__(self, places: Places, readers: Readers) -> None:
        self._places = places
        self._readers = readers

    def in_step(self) -> bool:
        """Whether nothing was done to the offline file since; a crash, a restored copy and another writer show."""
        state = self.state()
        return state is not None and state.stamp == self._look()

    def stamp(self) -> None:
        """Note how the offline file looks, now that the online one is in step with it."""
        look = self._look()
        try:
            with self._readers.using() as (connection, generation), online.translated(generation.path):
                if online.state(connection).stamp != look:
                    connection.execute("UPDATE meta SET stamp=?", (look,))
        except StoreUnavailable as exc:
            # Both files are right. Without the note the next call compares them, which takes longer.
            logger.warning("the online table of %s could not be marked as in step: %s", self._places.root, exc)

    def state(self) -> online.State | None:
        """What the online file says, None if there is none or it cannot be read."""
        try:
            with self._readers.using() as (connection, _):
                return online.state(connection)
        except (StoreUnavailable, sqlite3.DatabaseError) as exc:
            logger.debug("no usable online table in %s: %s", self._places.root, exc)
            return None

    def _look(self) -> str:
        """The offline file from outside; differs after every change of it, and while a log of changes lies beside it."""
        try:
            status = self._places.offline.stat()
        except FileNotFoundError:
            return "missing"
        log = "+log" if self._places.offline_log.exists() else ""
        return f"{status.st_size}-{status.st_mtime_ns}-{status.st_ino}{log}"
