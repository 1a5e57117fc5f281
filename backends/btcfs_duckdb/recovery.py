"""Keeping the online file in step with the offline one: creating, comparing, replaying and rebuilding."""

from __future__ import annotations

import logging
import os
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from btcfs.definitions import FeatureGroup
from btcfs.errors import StoreUnavailable
from btcfs_duckdb import engine, history, online
from btcfs_duckdb.commit_counter import CommitCounter
from btcfs_duckdb.following import Following
from btcfs_duckdb.mirror import BATCH, Mirror, rows_of
from btcfs_duckdb.offline_definitions import stored as stored_offline
from btcfs_duckdb.places import Places
from btcfs_duckdb.readers import Readers, current

logger = logging.getLogger(__name__)


class Recovery:
    """Makes the online file follow the offline one, under the exclusive lock.

    The offline commit comes first and the online one carries the same number, so after a crash
    between them the online file is behind, and never ahead unless the offline file was replaced.
    ``repairs`` counts what was done.
    """

    def __init__(
        self, places: Places, readers: Readers, following: Following, counter: CommitCounter, timeout: float
    ) -> None:
        self._places = places
        self._readers = readers
        self._following = following
        self._counter = counter
        self._timeout = timeout
        self.repairs: Counter[str] = Counter()

    def settle(self) -> None:
        """Bring the online file into step, or make a new store. Errors are those of ``connect``."""
        if self._following.in_step():
            return
        state = self._following.state()
        if not self._places.offline.exists():
            self._create(state)
            return
        engine.check(self._places.offline)
        with engine.opened(self._places.offline, read_only=False) as connection:
            meta = engine.meta(connection)
            if state is None or state.store != meta.store or state.seq > meta.seq:
                self._warn("rebuilt", 1, "the online table of %s was %s; it was built anew", _why(state, meta))
                self._build(connection, meta)
            elif state.seq < meta.seq:
                self._replay(connection, meta, state)
                self._warn(
                    "replayed",
                    meta.seq - state.seq,
                    "the online table of %s was %d changes behind; they were replayed",
                    meta.seq - state.seq,
                )
        self._following.stamp()
        self._sweep()

    def rebuild(self, connection: Any) -> None:
        """Build the online file anew from the offline one, and let readers go over to it."""
        self._build(connection, engine.meta(connection))
        self._sweep()

    def _create(self, state: online.State | None) -> None:
        if state is not None and state.seq > 0:
            raise StoreUnavailable(
                f"{self._places.offline} is missing, but the online table beside it holds {state.seq} changes. "
                f"Restore it from a backup, or remove the folder to begin with an empty store"
            )
        # Made under another name, so that a crash leaves no half-made store.
        draft = self._places.offline.with_suffix(".draft")
        draft.unlink(missing_ok=True)
        engine.create(draft)
        draft.replace(self._places.offline)
        with engine.opened(self._places.offline, read_only=True) as connection:
            self._build(connection, engine.meta(connection))
        self._following.stamp()

    def _build(self, connection: Any, meta: engine.Meta) -> None:
        places = self._places
        generation = 1 + max(places.generations(), default=0)
        path = places.online(generation)
        try:
            online.create(path, meta.store)
            target = online.connect(path, self._timeout)
            try:
                with self._mirror(target, path) as mirror:
                    for each in stored_offline(connection):
                        mirror.define(each.definition, each.applied)
                        if isinstance(each.definition, FeatureGroup):
                            self._copy(connection, mirror, each.definition, each.applied, -1)
                    mirror.commit(meta.seq)
            finally:
                target.close()
        except BaseException:  # whatever stopped it, half a generation is never used
            for file in places.files_of(generation):
                file.unlink(missing_ok=True)
            raise
        self._point_to(path.name)

    def _replay(self, connection: Any, meta: engine.Meta, state: online.State) -> None:
        wanted = stored_offline(connection)
        with self._readers.using() as (target, generation):
            held = online.stored(target)
            with self._mirror(target, generation.path) as mirror:
                for old in held:
                    if (type(old.definition), old.definition.ref, old.applied) not in {
                        (type(new.definition), new.definition.ref, new.applied) for new in wanted
                    }:
                        mirror.forget(old.definition, old.applied)
                for new in wanted:
                    if new not in held:
                        mirror.define(new.definition, new.applied)
                    if isinstance(new.definition, FeatureGroup):
                        self._copy(connection, mirror, new.definition, new.applied, state.seq)
                mirror.commit(meta.seq)

    @contextmanager
    def _mirror(self, target: sqlite3.Connection, path: Path) -> Iterator[Mirror]:
        """A transaction on an online file, of which nothing stays if the block does not end well."""
        mirror = Mirror(target, path, self._counter)
        try:
            yield mirror
        except BaseException:  # whatever stopped it, half of it is none
            mirror.rollback()
            raise

    def _copy(self, connection: Any, mirror: Mirror, group: FeatureGroup, applied: int, seq: int) -> None:
        for table in history.since(connection, group, seq, BATCH):
            mirror.put(group, applied, rows_of(group, table))

    def _point_to(self, name: str) -> None:
        places = self._places
        draft = places.pointer.with_suffix(".draft")
        try:
            draft.write_text(name + "\n")
            # Readers notice the change by these times, so no two pointers may have the same ones.
            before = places.pointer.stat().st_mtime_ns if places.pointer.exists() else 0
            instant = max(time.time_ns(), before + 1)
            os.utime(draft, ns=(instant, instant))
            self._counter.begin()
            try:
                draft.replace(places.pointer)
            finally:
                self._counter.end()
        except OSError as exc:
            raise StoreUnavailable(f"cannot write {places.pointer}: {exc}. Make room and run the same again") from exc

    def _sweep(self) -> None:
        """Remove what no online table refers to: older generations, and segments of a commit that a crash ended."""
        path = current(self._places)
        with self._readers.using() as (connection, _), online.translated(path):
            named = {file for (file,) in connection.execute("SELECT file FROM segments").fetchall()}
        for file in self._places.root.glob("online-*"):
            if not file.name.startswith(path.stem) or (file.suffix == ".rows" and file.name not in named):
                file.unlink(missing_ok=True)

    def _warn(self, what: str, count: int, message: str, *details: object) -> None:
        self.repairs[what] += count
        logger.warning(message, self._places.root, *details)


def _why(state: online.State | None, meta: engine.Meta) -> str:
    if state is None:
        return "missing or unreadable"
    if state.store != meta.store:
        return "that of another store"
    return f"ahead of the offline tables by {state.seq - meta.seq} changes"
