"""Arrow tables into Postgres and out of it, by COPY and with the same bits."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.csv

TYPES = {
    "float64": "double precision",
    "int64": "bigint",
    "bool": "boolean",
    "string": 'text COLLATE "C"',
    "timestamp": "timestamptz",
}
_CHUNK = 65_536
_INSTANT = pa.timestamp("us", "UTC")


def quoted(name: str) -> str:
    return f'"{name}"'


def listed(names: Any, prefix: str = "") -> str:
    return ", ".join(f"{prefix}{quoted(name)}" for name in names)


def put(cursor: Any, table: str, rows: pa.Table) -> None:
    """Append rows to the table's columns of the same names."""
    statement = f"COPY {quoted(table)} ({listed(rows.column_names)}) FROM STDIN (FORMAT csv)"
    options = pa.csv.WriteOptions(include_header=False, batch_size=_CHUNK, quoting_style="needed")
    with cursor.copy(statement) as copy:
        for start in range(0, rows.num_rows, _CHUNK):
            buffer = io.BytesIO()
            pa.csv.write_csv(_written(rows.slice(start, _CHUNK)), buffer, options)
            copy.write(buffer.getbuffer())


def get(cursor: Any, query: str, dtypes: Mapping[str, str], arguments: Any = ()) -> pa.Table:
    """The answer to a query that gives these columns, of these dtypes, as ``shown`` wrote them."""
    # Only texts are quoted, so that an empty one is apart from a missing one.
    texts = [name for name, dtype in dtypes.items() if dtype == "string"]
    forced = f", FORCE_QUOTE ({listed(texts)})" if texts else ""
    buffer = io.BytesIO()
    with cursor.copy(f"COPY ({query}) TO STDOUT (FORMAT csv{forced})", arguments) as copy:
        for block in copy:
            buffer.write(block)
    types = {name: _READ[dtype] for name, dtype in dtypes.items()}
    if not buffer.tell():
        return _read(pa.schema(list(types.items())).empty_table(), dtypes)
    buffer.seek(0)
    table = pa.csv.read_csv(
        buffer,
        read_options=pa.csv.ReadOptions(column_names=list(dtypes), block_size=1 << 24),
        parse_options=pa.csv.ParseOptions(newlines_in_values=bool(texts)),
        convert_options=pa.csv.ConvertOptions(
            column_types=types,
            null_values=[""],
            true_values=["t"],
            false_values=["f"],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
        ),
    )
    return _read(table, dtypes)


def shown(name: str, dtype: str) -> str:
    """A column in a query for ``get``; times as microseconds."""
    if dtype == "timestamp":
        return f"(extract(epoch FROM {quoted(name)}) * 1000000)::bigint AS {quoted(name)}"
    return quoted(name)


_READ = {
    "float64": pa.float64(),
    "int64": pa.int64(),
    "bool": pa.bool_(),
    "string": pa.string(),
    "timestamp": pa.int64(),
}


def _written(rows: pa.Table) -> pa.Table:
    """The rows with times as texts that Postgres reads to the microsecond."""
    for place, field in enumerate(rows.schema):
        if pa.types.is_timestamp(field.type):
            rows = rows.set_column(place, field.name, rows.column(place).cast(pa.string()))
    return rows


def _read(table: pa.Table, dtypes: Mapping[str, str]) -> pa.Table:
    for place, (name, dtype) in enumerate(dtypes.items()):
        if dtype == "timestamp":
            table = table.set_column(place, name, table.column(place).cast(_INSTANT))
    return table
