"""Rows from Kafka into the online store, as they arrive."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import attrs

from btcfs_hopsworks.emulator.avro import rows_reader
from btcfs_hopsworks.emulator.knobs import Knobs
from btcfs_hopsworks.emulator.metadata import Group
from btcfs_hopsworks.emulator.online_tables import OnlineTables, Row
from btcfs_hopsworks.emulator.online_values import RowRefused, row_fitter
from btcfs_hopsworks.emulator.records import Record, runs
from btcfs_hopsworks.emulator.state import State

logger = logging.getLogger(__name__)

_PAUSE = 0.02


@attrs.define
class OnlineConsumer:
    """A thread that writes each row online once ``knobs.online_lag`` has passed since it arrived.

    Every row of an ingestion is counted under UPSERTED, DELETED, IGNORED (not meant for the online store, or older
    than the row that is there) or FAILED (it does not fit its columns).
    """

    state: State
    knobs: Knobs
    tables: OnlineTables
    _backlog: deque[Record] = attrs.field(factory=deque, init=False, repr=False)
    _lock: threading.Lock = attrs.field(factory=threading.Lock, init=False, repr=False)
    _busy: threading.Lock = attrs.field(factory=threading.Lock, init=False, repr=False)
    _stopping: threading.Event = attrs.field(factory=threading.Event, init=False, repr=False)
    _arrived: threading.Event = attrs.field(factory=threading.Event, init=False, repr=False)
    _thread: threading.Thread = attrs.field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self._thread = threading.Thread(target=self._run, name="emulator-onlinefs", daemon=True)
        self._thread.start()

    def add(self, records: Sequence[Record]) -> None:
        """Takes records in the order they arrived."""
        with self._lock:
            self._backlog.extend(records)
        self._arrived.set()

    def forget(self, group_id: int) -> None:
        """Leaves out the rows of a group that wait, and returns when none is being written."""
        with self._busy, self._lock:
            kept = [record for record in self._backlog if record.group_id != group_id]
            self._backlog.clear()
            self._backlog.extend(kept)

    def close(self) -> None:
        self._stopping.set()
        self._arrived.set()
        self._thread.join(10)

    def _run(self) -> None:
        while not self._stopping.is_set():
            if not self._backlog:
                self._arrived.wait()
                self._arrived.clear()
                continue
            with self._busy:
                due = self._due()
                for run in runs(due):
                    self._write(run)
            if not due:
                self._stopping.wait(_PAUSE)

    def _due(self) -> list[Record]:
        until = time.monotonic() - self.knobs.online_lag
        due = []
        with self._lock:
            while self._backlog and self._backlog[0].arrived <= until:
                due.append(self._backlog.popleft())
        return due

    def _write(self, records: list[Record]) -> None:
        group = self.state.groups.get(records[0].group_id)
        if group is None or not group.online_enabled:
            return
        kept = [record for record in records if record.goes_online and self._faulted(group, record) is None]
        rows = self._fitted(group, kept)
        try:
            if records[0].deletes:
                self._count(kept, "DELETED", self._delete(group, rows))
            else:
                written = self.tables.upsert(self._database(group), group, rows, if_newer=records[0].if_newer)
                self._count(kept, "UPSERTED", written)
                self._count(kept, "IGNORED", len(rows) - written)
        except Exception:  # as on a cluster, rows that cannot be written are counted, and the next ones go on
            logger.exception("%d rows of %s could not be written online", len(rows), group.table)
            self._count(kept, "FAILED", len(rows))
        self._count(records, "IGNORED", sum(not record.goes_online for record in records))

    def _faulted(self, group: Group, record: Record) -> str | None:
        fault = self.knobs.take(f"online {group.table}")
        if fault is None:
            return None
        if fault.kind == "hang":
            self._stopping.wait(fault.seconds)
            return None
        self._count([record], "IGNORED" if fault.kind == "ignore" else "FAILED", 1)
        return fault.kind

    def _delete(self, group: Group, rows: Sequence[Row]) -> int:
        names = [feature.name for feature in group.online_features]
        places = [names.index(name) for name in group.primary_key]
        return self.tables.delete(self._database(group), group, [tuple(row[place] for place in places) for row in rows])

    def _fitted(self, group: Group, records: Sequence[Record]) -> list[Row]:
        """The rows that fit; the others are counted as failed."""
        read, fit, rows = rows_reader(group), row_fitter(group), []
        for record, row in zip(records, self._read(read, records), strict=True):
            try:
                rows.append(fit(row) if row is not None else fit(read([record.value])[0]))
            except (RowRefused, ValueError) as exc:
                logger.warning("a row of %s is refused online: %s", group.table, exc)
                self._count([record], "FAILED", 1)
        return rows

    def _read(
        self, read: Callable[[Sequence[bytes]], list[dict[str, Any]]], records: Sequence[Record]
    ) -> list[dict[str, Any] | None]:
        """Every row; None for all of them if one cannot be read, so that each is tried alone."""
        try:
            return [*read([record.value for record in records])]
        except ValueError:
            return [None] * len(records)

    def _count(self, records: Sequence[Record], status: str, rows: int) -> None:
        number = records[0].ingestion_id if records else None
        if number is not None and rows:
            self.state.count_online(number, status, rows)

    def _database(self, group: Group) -> str:
        return self.state.project_of(group).online_database
