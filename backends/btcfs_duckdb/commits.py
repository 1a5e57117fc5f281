"""Writing the offline tables: what is new, what replaces, what is the same, in one transaction."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import attrs
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute

from btcfs import catalogue, frames
from btcfs.definitions import TIME_KEY, FeatureGroup
from btcfs.errors import SchemaError
from btcfs.instants import from_micros, now, to_micros
from btcfs.keys import show_key
from btcfs.store import Commit, WriteReport
from btcfs_duckdb import history
from btcfs_duckdb.engine import Meta
from btcfs_duckdb.schema import current, instant, listed, numbers, quoted, superseded, to_arrow

_SEEN = "_seen"
# What DuckDB stores together, and what is compared at once. An insert of whole row groups, each in one piece, goes
# straight to its file; any other leaves parts of them, which go through the log and are written twice.
ROW_GROUP = 122_880


@attrs.define
class Tally:
    """What one write has done so far, in rows; times in microseconds."""

    inserted: int = 0
    updated: int = 0
    unchanged: int = 0
    start: int | None = None
    end: int | None = None

    @property
    def changed(self) -> int:
        return self.inserted + self.updated

    def saw(self, event_times: np.ndarray[Any, Any]) -> None:
        if len(event_times):
            low, high = int(event_times.min()), int(event_times.max())
            self.start = low if self.start is None else min(self.start, low)
            self.end = high if self.end is None else max(self.end, high)


class Writing:
    """One write to the current and superseded tables of a group, inside an open transaction.

    SchemaError if it is to be recorded under a ``given`` commit that may not follow the group's newest.
    """

    def __init__(
        self, connection: Any, group: FeatureGroup, before: Meta, *, streamed: bool, given: Commit | None = None
    ) -> None:
        if given is not None:
            newest = history.commits(connection, group)[-1:]
            catalogue.check_commit(group, newest[0] if newest else None, given)
        self._connection = connection
        self._group = group
        self._before = before
        self._streamed = streamed
        self._given = given
        self.seq = before.seq + 1
        self.tally = Tally()
        self._remembers = False

    def add(self, incoming: pa.Table) -> pa.Table:
        """Find out which rows are new or changed, and give those; rows that they replace become superseded.

        SchemaError for a key that an earlier frame of the stream held.
        """
        tally = self.tally
        tally.saw(numbers(incoming.column(self._group.event_time)))
        held = self._held(incoming)
        if not len(held):
            tally.inserted += incoming.num_rows
            return incoming
        rows, same = self._compared(incoming, held)
        self._supersede(incoming, rows[~same][:, 1])
        wanted = np.ones(incoming.num_rows, dtype=bool)
        wanted[rows[same][:, 0]] = False
        tally.inserted += incoming.num_rows - len(rows)
        tally.updated += int((~same).sum())
        tally.unchanged += int(same.sum())
        if self._streamed and same.any():
            self._remember(incoming.filter(pa.array(~wanted)))
        return incoming if wanted.all() else incoming.filter(pa.array(wanted))

    def insert(self, rows: pa.Table) -> None:
        """Append rows that ``add`` gave."""
        if rows.num_rows:
            names = listed(self._group.columns)
            into = f"INSERT INTO {current(self._group)} ({names}, _seq)"
            _execute(self._connection, f"{into} SELECT {names}, {self.seq} FROM given", rows)

    def report(self) -> WriteReport:
        """Record the commit, if anything changed, and say what it did."""
        tally, group = self.tally, self._group
        start, end = (None if t is None else from_micros(t) for t in (tally.start, tally.end))
        report = WriteReport(*group.ref, tally.inserted, tally.updated, tally.unchanged, start=start, end=end)
        if not tally.changed:
            return report
        commit = self._given or self._next()
        at = to_micros(commit.committed_at)
        self._connection.execute(
            f"INSERT INTO commits VALUES (?, ?, {instant(at)}, ?, ?, ?, ?, ?, {instant(tally.start or 0)}, "
            f"{instant(tally.end or 0)})",
            [self.seq, commit.id, *group.ref, tally.inserted, tally.updated, tally.unchanged],
        )
        newest = instant(max(at, self._before.committed_at))
        self._connection.execute(f"UPDATE meta SET seq = {self.seq}, committed_at = {newest}")
        return attrs.evolve(report, commit_id=commit.id, committed_at=commit.committed_at)

    def _next(self) -> Commit:
        # A clock may stand still or step back; knowledge time may not.
        at = max(to_micros(now()), self._before.committed_at + 1)
        return Commit(f"{self.seq:012d}-{uuid.uuid4().hex[:8]}", from_micros(at))

    def _held(self, incoming: pa.Table) -> np.ndarray[Any, Any]:
        """(row that comes in, row id in the table) of each key that is there already."""
        group = self._group
        keys = incoming.select(list(group.primary_key)).append_column("_row", pa.array(np.arange(incoming.num_rows)))
        match = " AND ".join(f"t.{quoted(name)} = i.{quoted(name)}" for name in group.primary_key)
        joined = f"t JOIN given i ON {match} WHERE {self._range(incoming, 't.')}"
        query = f"SELECT i._row, t.rowid AS _id, t._seq FROM {current(group)} {joined}"
        found = _asked(self._connection, query, keys)
        again = [found.filter(pa.compute.equal(found.column("_seq"), self.seq)).column("_row")]
        if self._remembers:
            again.append(_asked(self._connection, f"SELECT i._row FROM {_SEEN} {joined}", keys).column("_row"))
        repeated = [row for column in again for row in column.to_pylist()]
        if repeated:
            raise repeated_key(group, incoming, min(repeated))
        return np.stack([numbers(found.column("_row")), numbers(found.column("_id"))], axis=1)

    def _compared(self, incoming: pa.Table, held: np.ndarray[Any, Any]) -> tuple[np.ndarray[Any, Any], Any]:
        """The held rows, in some order, and whether each has the content that comes in."""
        parts = [self._compared_part(incoming, held[at : at + ROW_GROUP]) for at in range(0, len(held), ROW_GROUP)]
        return np.concatenate([rows for rows, _ in parts]), np.concatenate([same for _, same in parts])

    def _compared_part(self, incoming: pa.Table, held: np.ndarray[Any, Any]) -> tuple[np.ndarray[Any, Any], Any]:
        group = self._group
        names = (group.event_time, *group.feature_names)
        old = _asked(
            self._connection,
            f"SELECT h._row, h._id, {listed(names, 't')} FROM {current(group)} t JOIN given h ON t.rowid = h._id "
            f"WHERE t.rowid BETWEEN {held[:, 1].min()} AND {held[:, 1].max()}",
            pa.table({"_row": held[:, 0], "_id": held[:, 1]}),
        )
        rows = np.stack([numbers(old.column("_row")), numbers(old.column("_id"))], axis=1)
        new = incoming.select(list(names)).take(pa.array(rows[:, 0]))
        same = np.ones(len(rows), dtype=bool)
        for name in names:
            same &= _same_bits(old.column(name), new.column(name))
        return rows, same

    def _supersede(self, incoming: pa.Table, ids: np.ndarray[Any, Any]) -> None:
        if not len(ids):
            return
        group = self._group
        names = listed(group.columns)
        gone = pa.table({"_id": ids})
        chosen = f"FROM {current(group)} WHERE {self._range(incoming, '')} AND rowid IN (SELECT _id FROM given)"
        into = f"INSERT INTO {superseded(group)} ({names}, _seq, _seq_end)"
        _execute(self._connection, f"{into} SELECT {names}, _seq, {self.seq} {chosen}", gone)
        _execute(self._connection, f"DELETE {chosen}", gone)

    def _remember(self, rows: pa.Table) -> None:
        """Keep the keys of rows left alone: no table shows that this stream held them."""
        if not self._remembers:
            columns = ", ".join(f"{quoted(name)} {_key_type(name)}" for name in self._group.primary_key)
            self._connection.execute(f"CREATE OR REPLACE TEMP TABLE {_SEEN} ({columns})")
            self._remembers = True
        names = listed(self._group.primary_key)
        _execute(self._connection, f"INSERT INTO {_SEEN} ({names}) SELECT {names} FROM given", rows)

    def _range(self, incoming: pa.Table, prefix: str) -> str:
        """A condition by which DuckDB skips what lies outside the time keys that come in."""
        if not self._group.has_time_key or not incoming.num_rows:
            return "true"
        times = numbers(incoming.column(TIME_KEY))
        return f"{prefix}{quoted(TIME_KEY)} BETWEEN {instant(times.min())} AND {instant(times.max())}"


def gathered(group: FeatureGroup, rows: pd.DataFrame | Iterable[pd.DataFrame]) -> Iterator[pa.Table]:
    """Conformed frames as Arrow, those of a stream in whole row groups. SchemaError as ``FeatureStore.write`` says."""
    if isinstance(rows, pd.DataFrame):
        yield to_arrow(group, frames.conform(group, rows))
        return
    pending: list[pa.Table] = []
    for frame in frames.chunks(group, rows):
        # A copy, for whoever made the frame may use its memory again for the next.
        pending.append(to_arrow(group, frame, copy=True))
        count = sum(table.num_rows for table in pending)
        if count >= ROW_GROUP:
            whole = _together(group, pending)
            cut = count - count % ROW_GROUP
            yield whole.slice(0, cut)
            pending = [whole.slice(cut)]
    if pending:
        yield _together(group, pending)


def repeated_key(group: FeatureGroup, rows: pa.Table, row: int) -> SchemaError:
    """The error for a key that stands in two frames."""
    entity = tuple(rows.column(name)[row].as_py() for name in group.entity)
    time = int(numbers(rows.column(TIME_KEY).slice(row, 1))[0]) if group.has_time_key else None
    key = ", ".join(f"{name}={value}" for name, value in show_key(group, entity, time).items())
    return SchemaError(f"{group.title}: the key {{{key}}} stands in two frames of one write; a write holds each once")


def undo(connection: Any, group: FeatureGroup, before: Meta) -> None:
    """Take back the newest commit, of which nobody was told yet."""
    seq, names = before.seq + 1, listed(group.columns)
    for statement in (
        "BEGIN TRANSACTION",
        f"DELETE FROM {current(group)} WHERE _seq = {seq}",
        f"INSERT INTO {current(group)} ({names}, _seq) "
        f"SELECT {names}, _seq FROM {superseded(group)} WHERE _seq_end = {seq}",
        f"DELETE FROM {superseded(group)} WHERE _seq_end = {seq}",
        f"DELETE FROM commits WHERE seq = {seq}",
        f"UPDATE meta SET seq = {before.seq}, committed_at = {instant(before.committed_at)}",
        "COMMIT",
    ):
        connection.execute(statement)


# DuckDB finds ``given`` among the variables of whoever calls it. A table that is registered by name instead would be
# held, with all its rows, until the transaction ends.


def _asked(connection: Any, query: str, given: pa.Table) -> pa.Table:
    """The answer to a query, in which ``given`` is this table."""
    return connection.sql(query).to_arrow_table()


def _execute(connection: Any, statement: str, given: pa.Table) -> None:
    """Execute a statement, in which ``given`` is this table."""
    connection.execute(statement)


def _together(group: FeatureGroup, parts: Sequence[pa.Table]) -> pa.Table:
    if len(parts) == 1:
        return parts[0]
    rows = pa.concat_tables(parts).combine_chunks()
    if group.has_time_key and (np.diff(numbers(rows.column(TIME_KEY))) > 0).all():
        return rows  # each time stands there once, so each key does
    again = rows.select(list(group.primary_key)).to_pandas().duplicated().to_numpy()
    if again.any():
        raise repeated_key(group, rows, int(again.argmax()))
    return rows


def _key_type(name: str) -> str:
    return "TIMESTAMPTZ" if name == TIME_KEY else "VARCHAR"


def _same_bits(old: Any, new: Any) -> Any:
    """Whether two Arrow columns hold the same, row by row; all NaN are the same, 0.0 and -0.0 are not."""
    if pa.types.is_floating(old.type):
        one, other = numbers(old), numbers(new)
        return (one.view("int64") == other.view("int64")) | (np.isnan(one) & np.isnan(other))
    if pa.types.is_string(old.type):
        return np.asarray(_texts(old) == _texts(new))
    return numbers(old) == numbers(new)


def _texts(column: Any) -> np.ndarray[Any, Any]:
    texts: Sequence[str | None] = column.to_pylist()
    return np.array(texts, dtype=object)
