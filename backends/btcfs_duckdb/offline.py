"""The DuckDB half of a store: rows and definitions written, read and joined; loaded when first needed."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from functools import partial
from typing import Any

import pandas as pd
import pyarrow as pa

from btcfs import catalogue, point_in_time
from btcfs.definitions import Definition, FeatureGroup, FeatureView
from btcfs.errors import StoreBusy
from btcfs.store import Commit, Summary, WriteReport
from btcfs_duckdb import engine, history, offline_definitions
from btcfs_duckdb.changes import Change
from btcfs_duckdb.commit_counter import CommitCounter
from btcfs_duckdb.commits import Writing, gathered, undo
from btcfs_duckdb.following import Following
from btcfs_duckdb.mirror import BULK, Mirror, rows_of
from btcfs_duckdb.online import Stored
from btcfs_duckdb.places import Places
from btcfs_duckdb.readers import Readers
from btcfs_duckdb.recovery import Recovery
from btcfs_duckdb.schema import key_order
from btcfs_duckdb.turns import Turns

logger = logging.getLogger(__name__)

Known = Callable[[], Sequence[Stored]]


class Offline:
    """What a store does with its DuckDB file, and with the online file when it writes.

    ``known`` gives the definitions that are stored now; ``between`` is called after each offline commit and before
    the online one.
    """

    def __init__(
        self,
        places: Places,
        readers: Readers,
        following: Following,
        counter: CommitCounter,
        timeout: float,
        known: Known,
        between: Callable[[], None],
    ) -> None:
        self._places = places
        self._readers = readers
        self._following = following
        self._counter = counter
        self._known = known
        self._between = between
        self._changing = False
        self.recovery = Recovery(places, readers, following, counter, timeout)
        self._turns = Turns(places, timeout, following.in_step, begin=self.recovery.settle, end=following.stamp)

    def settle(self, *, serving: bool) -> None:
        """Bring the online file into step. With ``serving``, leave that to the process that writes now, if one does.

        StoreBusy if others do not finish in time.
        """
        if not serving or self._turns.read_only_now():
            with self._turns.exclusive():
                return
        logger.info("%s is being written; its writer brings the online table into step", self._places.root)

    def exclusive(self) -> AbstractContextManager[None]:
        return self._turns.exclusive()

    def rebuild_online(self) -> None:
        with self._turns.exclusive(), self._turns.writing() as connection, self._translated():
            self.recovery.rebuild(connection)

    def apply(self, definition: Definition) -> None:
        with self._turns.exclusive():
            catalogue.check_apply([each.definition for each in self._known()], definition)
            with self._change() as change:
                with self._translated():
                    applied = offline_definitions.define(change.connection, definition, change.seq)
                    change.connection.execute(f"UPDATE meta SET seq = {change.seq}")
                change.mirror.define(definition, applied)
                change.commit()

    def delete(self, definition: Definition, *, all_versions: bool) -> None:
        with self._turns.exclusive():
            stored = self._known()
            doomed = catalogue.doomed([each.definition for each in stored], definition, all_versions=all_versions)
            with self._change() as change:
                for each in (each for each in stored if each.definition in doomed):
                    with self._translated():
                        offline_definitions.forget(change.connection, each.definition)
                    change.mirror.forget(each.definition, each.applied)
                with self._translated():
                    change.connection.execute(f"UPDATE meta SET seq = {change.seq}")
                change.commit()

    def write(
        self, group: FeatureGroup, rows: pd.DataFrame | Iterable[pd.DataFrame], given: Commit | None
    ) -> WriteReport:
        with self._turns.exclusive():
            applied = self._applied(group)
            streamed = not isinstance(rows, pd.DataFrame)
            with self._change() as change:
                with self._translated():
                    commit = Writing(change.connection, group, change.before, streamed=streamed, given=given)
                for table in gathered(group, rows):
                    with self._translated():
                        self._add(change, commit, group, applied, table, whole=not streamed)
                with self._translated():
                    report = commit.report()
                if report.commit_id is None:
                    change.rollback()
                    return report
                change.commit(partial(undo, change.connection, group, change.before))
                return report

    def read(
        self,
        group: FeatureGroup,
        start: datetime | None,
        end: datetime | None,
        entity: Mapping[str, str],
        columns: Sequence[str],
        as_of: datetime | None,
    ) -> pd.DataFrame:
        with self._reading() as connection:
            seq = history.known_at(connection, group, as_of)
            return history.frame(connection, group, start, end, entity, columns, seq)

    def commits(self, group: FeatureGroup) -> list[Commit]:
        with self._reading() as connection:
            return history.commits(connection, group)

    def changes(
        self, group: FeatureGroup, commit: Commit, start: datetime | None, end: datetime | None
    ) -> pd.DataFrame:
        with self._reading() as connection:
            found = catalogue.find_commit(group, history.commits(connection, group), commit)
            return history.changes(connection, group, found, start, end)

    def summary(self, group: FeatureGroup, entity: Mapping[str, str]) -> Summary:
        with self._reading() as connection:
            return history.summary(connection, group, entity)

    def join(self, view: FeatureView, spine: pd.DataFrame, as_of: datetime | None) -> pd.DataFrame:
        definitions = [each.definition for each in self._known()]
        catalogue.same(definitions, view)
        resolved = catalogue.resolve(definitions, view)
        point_in_time.checked_spine(resolved, spine)
        with self._reading() as connection:

            def rows(group: FeatureGroup, columns: tuple[str, ...], end: datetime) -> pa.Table:
                # Only without an interval may rows of one event time differ in their key, which then decides.
                needed = columns if group.interval else tuple(dict.fromkeys((*columns, *group.primary_key)))
                seq = history.known_at(connection, group, as_of)
                table = history.table(connection, group, None, end, {}, needed, seq)
                order = None if group.interval else key_order(group, table)
                return table if order is None else table.take(pa.array(order))

            return point_in_time.join(resolved, spine, rows)

    def _add(
        self, change: Change, commit: Writing, group: FeatureGroup, applied: int, table: pa.Table, *, whole: bool
    ) -> None:
        """Write what is new or changed to both files, to both at once if it is much; ``whole`` if nothing follows it."""
        changed = commit.add(table)

        def put() -> None:
            change.mirror.put(group, applied, rows_of(group, changed))
            if whole:
                change.mirror.prepare()

        if changed.num_rows < BULK:
            commit.insert(changed)
            put()
            return
        with ThreadPoolExecutor(1, thread_name_prefix="btcfs-online") as pool:
            online = pool.submit(put)
            commit.insert(changed)
        online.result()

    @contextmanager
    def _change(self) -> Iterator[Change]:
        """A change inside a writer's turn, rolled back if it was not committed."""
        if self._changing:
            raise StoreBusy(
                f"a write to the store in {self._places.root} is under way in this very thread; finish it, "
                f"the frames of its stream included, before the next"
            )
        self._changing = True
        try:
            with self._turns.writing() as connection, self._readers.lent() as (target, generation):
                mirror = Mirror(target, generation.path, self._counter)
                change = Change(connection, mirror, self._places.offline, self._between)
                try:
                    yield change
                except BaseException:  # whatever stopped it, Ctrl-C too, half a change is none
                    change.rollback()
                    raise
        finally:
            self._changing = False

    @contextmanager
    def _reading(self) -> Iterator[Any]:
        with self._turns.reading() as connection, self._translated():
            yield connection

    def _translated(self) -> AbstractContextManager[None]:
        return engine.translated(self._places.offline)

    def _applied(self, group: FeatureGroup) -> int:
        """The number of the change that applied the group. Errors are those of ``catalogue.same``."""
        stored = self._known()
        found = catalogue.same([each.definition for each in stored], group)
        return next(each.applied for each in stored if each.definition is found)
