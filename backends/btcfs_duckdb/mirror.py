"""Writing the online file: one transaction that follows one change of the offline tables."""

from __future__ import annotations

import json
import sqlite3
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pyarrow as pa

from btcfs.definitions import TIME_KEY, Definition, FeatureGroup, FeatureView
from btcfs_duckdb import online, segments
from btcfs_duckdb.commit_counter import CommitCounter
from btcfs_duckdb.payload import Integers, entity_text, pack, row_size
from btcfs_duckdb.schema import numbers

# Rows of one entity in one commit from which on they become a segment: the table keeps the few that come day by day.
BULK = 256
# Rows gathered before they are written, for the memory's sake; what follows them is written to the same segment.
BATCH = 131_072
# Segments that are written to at a time: each is an open file.
OPEN = 64


@attrs.frozen
class Rows:
    """Rows of one group as the online file holds them: ``entities[codes[i]]`` is the entity of row i."""

    codes: Integers
    entities: Sequence[str]
    times: Integers
    event_times: Integers
    columns: Sequence[Any]

    def __len__(self) -> int:
        return len(self.times)

    def take(self, chosen: Any) -> Rows:
        return Rows(
            self.codes[chosen],
            self.entities,
            self.times[chosen],
            self.event_times[chosen],
            [column[chosen] for column in self.columns],
        )


def numeric(group: FeatureGroup) -> list[str]:
    """The features that the online file holds, in their order there."""
    return [feature.name for feature in group.features if feature.numeric]


def rows_of(group: FeatureGroup, table: pa.Table) -> Rows:
    """Rows of a group's Arrow table as online rows."""
    event_times = numbers(table.column(group.event_time))
    times = numbers(table.column(TIME_KEY)) if group.has_time_key else np.zeros(len(event_times), dtype="int64")
    codes, distinct = _entities(group, table)
    columns = [numbers(table.column(name)) for name in numeric(group)]
    return Rows(codes, [entity_text(values) for values in distinct], times, event_times, columns)


class Mirror:
    """An open transaction on the online file. Readers see nothing of it until ``commit``, then all."""

    def __init__(self, connection: sqlite3.Connection, path: Path, counter: CommitCounter) -> None:
        self._connection = connection
        self._path = path
        self._counter = counter
        self._touched: set[tuple[str, int]] = set()
        self._growing: dict[tuple[int, str], segments.Growing] = {}
        self._finished: list[Path] = []
        self._dropped: list[str] = []
        self._pending: list[tuple[FeatureGroup, int, Rows]] = []
        self._moved = False
        with online.translated(path):
            connection.execute("BEGIN IMMEDIATE")

    def put(self, group: FeatureGroup, applied: int, rows: Rows) -> None:
        """Insert or replace rows; gathered first, so that a stream of small frames is a bulk commit too."""
        if len(rows):
            self._touched.add(group.ref)
        if self._pending and self._pending[0][1] != applied:
            self._flush()
        for start in range(0, len(rows), BATCH):
            part = rows if len(rows) <= BATCH else rows.take(slice(start, start + BATCH))
            if sum(len(pending) for _, _, pending in self._pending) + len(part) > BATCH:
                self._flush()
            self._pending.append((group, applied, part))

    def _flush(self) -> None:
        """Write what was gathered."""
        pending, self._pending = self._pending, []
        if not pending:
            return
        group, applied, first = pending[0]
        rows = first if len(pending) == 1 else _joined([rows for _, _, rows in pending])
        if group.interval is not None and (len(rows) >= BULK or self._growing):
            rows = self._put_segments(applied, rows)
        self._put_rows(applied, rows)

    def define(self, definition: Definition, applied: int) -> None:
        """Store a definition, and make its table if it is a new group."""
        kind = _kind(definition)
        body = json.dumps(definition.to_dict())
        with online.translated(self._path):
            known = self._connection.execute(
                "SELECT applied FROM definitions WHERE kind=? AND name=? AND version=?", (kind, *definition.ref)
            ).fetchone()
            if known is None and isinstance(definition, FeatureGroup):
                for statement in online.create_table(definition, applied):
                    self._connection.execute(statement)
            self._connection.execute(
                "INSERT INTO definitions VALUES (?, ?, ?, ?, ?, ?) "
                "ON CONFLICT (kind, name, version) DO UPDATE SET body=excluded.body",
                (kind, *definition.ref, applied, applied, body),
            )
        self._move(definition)

    def forget(self, definition: Definition, applied: int) -> None:
        """Remove a definition and, of a group, its rows."""
        with online.translated(self._path):
            self._connection.execute(
                "DELETE FROM definitions WHERE kind=? AND name=? AND version=?", (_kind(definition), *definition.ref)
            )
            if isinstance(definition, FeatureGroup):
                files = self._connection.execute("SELECT DISTINCT file FROM segments WHERE applied=?", (applied,))
                self._dropped += [file for (file,) in files.fetchall()]
                self._connection.execute("DELETE FROM segments WHERE applied=?", (applied,))
                self._connection.execute(f"DROP TABLE {online.table(applied)}")
        self._move(definition)

    def prepare(self) -> None:
        """Write all that can be written before the offline commit, so that little is left that could fail after it."""
        self._flush()
        for growing in list(self._growing):
            self._finish(*growing)

    def commit(self, seq: int) -> None:
        """Make it visible, as what follows the offline change of that number."""
        self.prepare()
        self._counter.begin()
        try:
            with online.translated(self._path):
                for ref in self._touched:
                    self._connection.execute(
                        "UPDATE definitions SET changed=? WHERE kind='group' AND name=? AND version=?", (seq, *ref)
                    )
                self._connection.execute("UPDATE meta SET seq=?, epoch=epoch+?", (seq, int(self._moved)))
                self._connection.execute("COMMIT")
        finally:
            self._counter.end()
        for file in self._dropped:
            (self._path.parent / file).unlink(missing_ok=True)

    def rollback(self) -> None:
        """Leave the file as it was."""
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")
        for growing in self._growing.values():
            growing.discard()
        for path in self._finished:
            path.unlink(missing_ok=True)

    def _move(self, definition: Definition) -> None:
        """A definition came or went; for who watches its groups, a view's coming and going is a change of them."""
        self._moved = True
        if isinstance(definition, FeatureView):
            self._touched.update(definition.groups)

    def _put_rows(self, applied: int, rows: Rows) -> None:
        size = row_size(len(rows.columns))
        data = pack(rows.columns, rows.times, rows.event_times)
        names = [rows.entities[code] for code in rows.codes.tolist()]
        payloads = (data[at : at + size] for at in range(0, size * len(rows), size))
        values = zip(names, rows.times.tolist(), rows.event_times.tolist(), payloads, strict=True)
        with online.translated(self._path):
            self._connection.executemany(
                f"INSERT INTO {online.table(applied)} VALUES (?, ?, ?, ?) ON CONFLICT (entity, ts) DO UPDATE "
                f"SET event_time=excluded.event_time, payload=excluded.payload",
                values,
            )

    def _put_segments(self, applied: int, rows: Rows) -> Rows:
        """Write to segments what is of entities with many new rows; give back the rest."""
        counts = np.bincount(rows.codes, minlength=len(rows.entities))
        written = np.zeros(len(counts), dtype=bool)
        for code in np.flatnonzero(counts).tolist():
            entity = rows.entities[code]
            if counts[code] < BULK and (applied, entity) not in self._growing:
                continue
            part = rows if counts[code] == len(rows) else rows.take(rows.codes == code)
            if (part.times[1:] < part.times[:-1]).any():
                part = part.take(np.argsort(part.times))
            growing = self._segment(applied, entity, part)
            if growing is not None:
                growing.add(part.columns, part.times, part.event_times)
                written[code] = True
        return rows if not written.any() else rows.take(~written[rows.codes])

    def _segment(self, applied: int, entity: str, rows: Rows) -> segments.Growing | None:
        """The segment that these rows may be added to: the one of the rows before them, or a new one."""
        first, last = int(rows.times[0]), int(rows.times[-1])
        growing = self._growing.get((applied, entity))
        if growing is not None:
            if growing.last < first and self._free(applied, entity, growing.last + 1, last):
                return growing
            self._finish(applied, entity)
        if len(rows) < BULK or not self._free(applied, entity, first, last):
            return None
        if len(self._growing) >= OPEN:
            self._finish(*next(iter(self._growing)))
        path = self._path.with_name(f"{self._path.stem}-{uuid.uuid4().hex}.rows")
        growing = self._growing[applied, entity] = segments.Growing(path, len(rows.columns), first)
        return growing

    def _free(self, applied: int, entity: str, first: int, last: int) -> bool:
        """Whether no row between these times is there: the table's go before the segments', and segments never overlap."""
        with online.translated(self._path):
            among = self._connection.execute(
                f"SELECT 1 FROM segments WHERE applied=? AND entity=? AND first<=? AND last>=? UNION ALL "
                f"SELECT 1 FROM {online.table(applied)} WHERE entity=? AND ts BETWEEN ? AND ? LIMIT 1",
                (applied, entity, last, first, entity, first, last),
            ).fetchone()
        return among is None

    def _finish(self, applied: int, entity: str) -> None:
        growing = self._growing[applied, entity]
        growing.finish()
        self._finished.append(self._growing.pop((applied, entity)).path)
        with online.translated(self._path):
            self._connection.execute(
                "INSERT INTO segments VALUES (?, ?, ?, ?, ?, ?)",
                (applied, entity, growing.first, growing.last, growing.rows, growing.path.name),
            )
        self._moved = True


def _kind(definition: Definition) -> str:
    return "group" if isinstance(definition, FeatureGroup) else "view"


def _entities(group: FeatureGroup, table: pa.Table) -> tuple[Integers, list[tuple[str, ...]]]:
    if not group.entity or not table.num_rows:
        return np.zeros(table.num_rows, dtype="int64"), [()]
    columns = [table.column(name).combine_chunks().dictionary_encode() for name in group.entity]
    texts = [column.dictionary.to_pylist() for column in columns]
    places = [column.indices.to_numpy() for column in columns]
    if len(columns) == 1:
        return places[0].astype("int64"), [(text,) for text in texts[0]]
    seen: dict[tuple[int, ...], int] = {}
    rows = zip(*(place.tolist() for place in places), strict=True)
    codes = np.fromiter((seen.setdefault(row, len(seen)) for row in rows), dtype="int64", count=table.num_rows)
    return codes, [tuple(text[place] for text, place in zip(texts, row, strict=True)) for row in seen]


def _joined(parts: Sequence[Rows]) -> Rows:
    entities: dict[str, int] = {}
    codes = []
    for part in parts:
        places = np.array([entities.setdefault(name, len(entities)) for name in part.entities], dtype="int64")
        codes.append(places[part.codes])
    return Rows(
        np.concatenate(codes),
        list(entities),
        np.concatenate([part.times for part in parts]),
        np.concatenate([part.event_times for part in parts]),
        [np.concatenate(columns) for columns in zip(*(part.columns for part in parts), strict=True)],
    )
