"""A group's rows in Postgres: one table of what holds now, one of what was superseded, and the log of writes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import attrs
import numpy as np
import pyarrow as pa

from btcfs.definitions import TIME_KEY, FeatureGroup
from btcfs.errors import NotFound, StoreBusy, StoreUnavailable
from btcfs.instants import from_micros
from btcfs_feast.naming import COMMIT, CREATED, KEY, OWN, PAYLOAD, SEQ, feast_name, online_name
from btcfs_feast.postgres_copy import TYPES, get, listed, put, quoted
from btcfs_feast.postgres_hashes import by_day, can_hash
from btcfs_feast.postgres_link import Link
from btcfs_feast.shelf import Asked, DayHashes, Entry, signed

_OWN_TYPES = {SEQ: "int64", COMMIT: "string", CREATED: "timestamp"}
_ENTRY = [field.name for field in attrs.fields(Entry)]


class PostgresTables:
    """The ``Shelf`` of a group in Postgres.

    Feast cannot write there (``PostgreSQLOfflineStore.offline_write_batch`` is not implemented), and its
    join compares each row asked for with each state of a key (feast-dev/feast#6057), so what other Feast
    clients read is the table of the newest states alone.
    """

    def __init__(self, link: Link, group: FeatureGroup, identity: str) -> None:
        self._link = link
        self._group = group
        self._name = f"btcfs_{feast_name(group)}_{identity}"
        self._dtypes = {**group.dtypes, **_OWN_TYPES}

    def create(self) -> None:
        columns = ", ".join(f"{quoted(name)} {TYPES[dtype]}" for name, dtype in self._dtypes.items())
        log = ", ".join(f"{quoted(name)} {'text' if name == 'id' else 'bigint'}" for name in _ENTRY)
        with self._link.cursor() as cursor:
            for statement in (
                f"CREATE TABLE {quoted(self._name)} ({columns}, PRIMARY KEY ({listed(self._group.primary_key)}))",
                f"CREATE INDEX ON {quoted(self._name)} USING brin ({quoted(self._group.event_time)})",
                f"ALTER TABLE {quoted(self._name)} ALTER {quoted(self._group.event_time)} SET STATISTICS {_SAMPLE}",
                f"CREATE TABLE {quoted(self._old)} ({columns})",
                f"CREATE TABLE {quoted(self._log)} ({log}, PRIMARY KEY (seq))",
            ):
                cursor.execute(statement)

    def drop(self) -> None:
        with self._link.cursor() as cursor:
            for table in (self._name, self._old, self._log):
                cursor.execute(f"DROP TABLE IF EXISTS {quoted(table)}")

    def source(self) -> Any:
        return self._source(feast_name(self._group), table=self._name, created_timestamp_column=CREATED)

    def online_source(self) -> Any:
        texts = ", ".join(f"''::text AS {quoted(name)}" for name in (*self._group.entity, KEY))
        nothing = f"SELECT {texts}, ''::bytea AS {PAYLOAD}, now() AS {quoted(self._group.event_time)} WHERE false"
        return self._source(online_name(self._group), query=nothing)

    def entries(self) -> Sequence[Entry]:
        with self._reading() as cursor:
            cursor.execute(f"SELECT {listed(_ENTRY)} FROM {quoted(self._log)} ORDER BY seq")
            return [Entry(*row) for row in cursor.fetchall()]

    def states(self, asked: Asked) -> pa.Table:
        columns = {name: self._dtypes[name] for name in dict.fromkeys((*asked.columns, SEQ))}
        condition, arguments = self._condition(asked)
        query = f"SELECT {listed(columns)} FROM {quoted(self._name)} WHERE {condition}"
        if asked.as_of is not None or asked.seqs is not None:
            query = f"{query} UNION ALL SELECT {listed(columns)} FROM {quoted(self._old)} WHERE {condition}"
            arguments = [*arguments, *arguments]
        with self._reading() as cursor:
            return _oldest_first(get(cursor, query, columns, arguments))

    def event_counts(self, edges: Sequence[int]) -> list[int]:
        """How many rows that hold now have an event time from each of these microseconds to before the next."""
        event = quoted(self._group.event_time)
        within = f"{event} >= %s AND {event} < %s"
        query = f"SELECT width_bucket({event}, %s), count(*) FROM {quoted(self._name)} WHERE {within} GROUP BY 1"
        instants = list(map(from_micros, edges))
        with self._reading() as cursor:
            cursor.execute(query, (instants, instants[0], instants[-1]))
            counts = dict(cursor.fetchall())
        return [counts.get(place, 0) for place in range(1, len(edges))]

    def day_hashes(self, asked: Asked) -> DayHashes | None:
        """Days, rows and hashes of the states asked for, see ``by_day``; None if this server has other hashes."""
        condition, arguments = self._condition(asked)
        tables = [self._name] if asked.seqs is None else [self._name, self._old]
        with self._reading() as cursor:
            if not can_hash(cursor.connection):
                return None
            # One processor, for others of this server's write or read the rows before and after these.
            cursor.execute("SET LOCAL max_parallel_workers_per_gather = 0")
            cursor.execute(by_day(self._group, dict.fromkeys(tables, condition)), arguments * len(tables))
            found = cursor.fetchall()
        return [day for day, _, _ in found], [rows for _, rows, _ in found], [hashes for _, _, hashes in found]

    def draft(self, seq: int, commit_id: str, at: int) -> TableDraft:
        return TableDraft(self._link, self._group, (self._name, self._old, self._log), (seq, commit_id, at))

    @property
    def _old(self) -> str:
        return f"{self._name}_old"

    @property
    def _log(self) -> str:
        return f"{self._name}_log"

    def _source(self, name: str, **options: Any) -> Any:
        from feast.infra.offline_stores.contrib.postgres_offline_store.postgres_source import PostgreSQLSource

        return PostgreSQLSource(name=name, timestamp_field=self._group.event_time, **options)

    @contextmanager
    def _reading(self) -> Iterator[Any]:
        with _known(self._group), self._link.cursor() as cursor:
            yield cursor

    def _condition(self, asked: Asked) -> tuple[str, list[Any]]:
        parts: list[tuple[str, Any]] = [(f"{quoted(name)} = %s", value) for name, value in asked.entity.items()]
        event = quoted(self._group.event_time)
        if asked.start is not None:
            parts.append((f"{event} >= %s", from_micros(asked.start)))
        if asked.end is not None:
            parts.append((f"{event} < %s", from_micros(asked.end)))
        if asked.opens is not None and self._group.has_time_key:
            low, high = map(from_micros, asked.opens)
            parts += [(f"{quoted(TIME_KEY)} >= %s", low), (f"{quoted(TIME_KEY)} < %s", high)]
        if asked.as_of is not None:
            parts.append((f"{CREATED} <= %s", from_micros(asked.as_of)))
        if asked.seqs is not None:
            parts += [(f"{SEQ} >= %s", asked.seqs[0]), (f"{SEQ} <= %s", asked.seqs[1])]
        return " AND ".join(text for text, _ in parts) or "true", [value for _, value in parts]


_MANY = 10_000
# Without a look at how the event times lie, Postgres reads the whole table for any range of them. This is for a look at 3,000.
_SAMPLE = 10
# Postgres reads what its index of ranges does not know yet with every range, until the table is vacuumed.
_SUMMARISE = """
SELECT brin_summarize_new_values(i.indexrelid) FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
JOIN pg_am a ON a.oid = c.relam WHERE i.indrelid = quote_ident(%s)::regclass AND a.amname = 'brin'
"""


class TableDraft:
    """A write in an open transaction."""

    def __init__(
        self, link: Link, group: FeatureGroup, tables: tuple[str, str, str], signature: tuple[int, str, int]
    ) -> None:
        self._link = link
        self._group = group
        self._now, self._old, self._log = tables
        self._signature = signature
        self._stack = ExitStack()
        try:
            self._stack.enter_context(_known(group))
            connection = self._stack.enter_context(link.connection())
            self._transaction = connection.transaction()
            self._transaction.__enter__()
            self._cursor = self._stack.enter_context(connection.cursor())
            # Keeps out a writer on another machine, whose lock file is another.
            self._cursor.execute(f"LOCK TABLE {quoted(self._log)} IN SHARE ROW EXCLUSIVE MODE")
            self._cursor.execute(f"SELECT coalesce(max(seq), 0) FROM {quoted(self._log)}")
            if self._cursor.fetchone()[0] >= signature[0]:
                raise StoreBusy(f"another machine wrote to {group.title} at the same moment; run the write again")
        except BaseException as exc:  # whatever stopped it, nobody else could end the transaction
            self._stack.__exit__(type(exc), exc, exc.__traceback__)
            raise
        self._open = True

    def add(self, rows: pa.Table, replacing: np.ndarray[Any, np.dtype[np.bool_]]) -> None:
        with self._working():
            if replacing.any():
                self._supersede(rows.filter(pa.array(replacing)))
            put(self._cursor, self._now, signed(rows, *self._signature), {**self._group.dtypes, **_OWN_TYPES})

    def publish(self, entry: Entry) -> None:
        values = attrs.astuple(entry)
        with self._working():
            self._cursor.execute(
                f"INSERT INTO {quoted(self._log)} ({listed(_ENTRY)}) VALUES ({', '.join(['%s'] * len(values))})", values
            )
            if entry.rows >= _MANY:
                self._cursor.execute(_SUMMARISE, (self._now,))
                self._cursor.execute(f"ANALYZE {quoted(self._now)} ({quoted(self._group.event_time)})")
            self._transaction.__exit__(None, None, None)
            self._close()

    def discard(self) -> None:
        if self._open:
            import psycopg

            with suppress(psycopg.Error):  # of a server that is gone, and the transaction with it
                self._transaction.__exit__(psycopg.Rollback, psycopg.Rollback(), None)
            self._close()

    @contextmanager
    def _working(self) -> Iterator[None]:
        with _known(self._group), self._link.translated():
            yield

    def _close(self) -> None:
        self._open = False
        self._stack.close()

    def _supersede(self, rows: pa.Table) -> None:
        keys = self._group.primary_key
        columns = (*self._group.columns, *OWN)
        typed = ", ".join(f"{quoted(name)} {TYPES[self._group.dtypes[name]]}" for name in keys)
        self._cursor.execute("DROP TABLE IF EXISTS pg_temp.btcfs_given")
        self._cursor.execute(f"CREATE TEMP TABLE btcfs_given ({typed}) ON COMMIT DROP")
        put(self._cursor, "btcfs_given", rows, {name: self._group.dtypes[name] for name in keys})
        same = " AND ".join(f"t.{quoted(name)} = g.{quoted(name)}" for name in keys)
        gone = f"DELETE FROM {quoted(self._now)} t USING btcfs_given g WHERE {same} RETURNING {listed(columns, 't.')}"
        self._cursor.execute(
            f"WITH gone AS ({gone}) INSERT INTO {quoted(self._old)} ({listed(columns)}) SELECT * FROM gone"
        )


def _oldest_first(rows: pa.Table) -> pa.Table:
    """The states in the order of their writes; Postgres would sort whole rows, on its disk."""
    seqs = rows.column(SEQ).to_numpy()
    return rows if (seqs[1:] >= seqs[:-1]).all() else rows.take(pa.array(np.argsort(seqs, kind="stable")))


@contextmanager
def _known(group: FeatureGroup) -> Iterator[None]:
    """A table that is not there as NotFound: its group was deleted a moment ago."""
    try:
        yield
    except StoreUnavailable as exc:
        if type(exc.__cause__).__name__ != "UndefinedTable":
            raise
        raise NotFound(f"the tables of {group.title} are gone; btcfs verify shows what is there") from exc
