"""Arrow tables into Postgres and out of it, by COPY in its binary format and with the same bits."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa

from btcfs_feast.postgres_decoding import decoded
from btcfs_feast.postgres_encoding import arranged, encodings
from btcfs_feast.shelf import ARROW

TYPES = {
    "float64": "double precision",
    "int64": "bigint",
    "bool": "boolean",
    "string": 'text COLLATE "C"',
    "timestamp": "timestamptz",
}

_TAKEN = 4_096  # rows taken together from what was received
_PAUSE = 0.001  # seconds in which Postgres sends more than it does at a time
_BEGIN = b"PGCOPY\n\xff\r\n\x00" + bytes(8)
_END = b"\xff\xff"


def quoted(name: str) -> str:
    return f'"{name}"'


def listed(names: Any, prefix: str = "") -> str:
    return ", ".join(f"{prefix}{quoted(name)}" for name in names)


def put(cursor: Any, table: str, rows: pa.Table, dtypes: Mapping[str, str]) -> None:
    """Append rows, which have these columns, to the table's columns of the same names."""
    columns = arranged(dtypes)
    with cursor.copy(f"COPY {quoted(table)} ({listed(columns)}) FROM STDIN (FORMAT binary)") as copy:
        copy.write(_BEGIN)
        for encoded in encodings(rows, columns):
            copy.write(encoded)
        copy.write(_END)


def get(cursor: Any, query: str, dtypes: Mapping[str, str], arguments: Any = ()) -> pa.Table:
    """These columns, of these dtypes, of the answer to a query that has them."""
    columns = arranged(dtypes)
    parts = []
    with cursor.copy(f"COPY (SELECT {listed(columns)} FROM ({query}) q) TO STDOUT (FORMAT binary)", arguments) as copy:
        for rows, lengths in _received(copy):
            parts.append(decoded(rows, lengths, columns))
    types = pa.schema([(name, ARROW[dtype]) for name, dtype in columns.items()])
    return pa.Table.from_batches(parts, types).select(list(dtypes))


def _received(copy: Any) -> Iterator[tuple[bytearray, list[int]]]:
    """The rows as Postgres sends them, some at a time, and how many bytes each has.

    psycopg waits for the server, and what libpq then has is taken from it at once. Kept one by one, the messages would
    be what Python's garbage collector looks through again and again.
    """
    import psycopg

    pgconn = copy.connection.pgconn
    take, end = pgconn.get_copy_data, len(_END)
    rows, lengths = bytearray(), list[int]()
    count = lengths.append
    message = copy.read()[len(_BEGIN) :] or copy.read()
    while message:
        size = len(message)
        while size > end:  # no row is as short as the end is
            rows += message
            count(size)
            size, message = take(1)
        if size < 0:
            raise psycopg.OperationalError(pgconn.get_result().error_message.decode(errors="replace"))
        if len(lengths) >= _TAKEN:
            yield rows, lengths
            rows, lengths = bytearray(), list[int]()
            count = lengths.append
        if not size:
            time.sleep(_PAUSE)  # to be woken for every 8 KB that Postgres sends takes longer than to take them
        message = copy.read()
    if lengths:
        yield rows, lengths
