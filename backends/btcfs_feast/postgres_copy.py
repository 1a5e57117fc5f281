"""Arrow tables into Postgres and out of it, by COPY in its binary format and with the same bits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from btcfs.errors import StoreUnavailable
from btcfs_feast.shelf import ARROW

TYPES = {
    "float64": "double precision",
    "int64": "bigint",
    "bool": "boolean",
    "string": 'text COLLATE "C"',
    "timestamp": "timestamptz",
}

Bytes = np.ndarray[Any, np.dtype[np.uint8]]

_CHUNK = 16_384
_EPOCH = 946_684_800_000_000  # Postgres counts microseconds from 2000 on
# Each cell is its length and its bytes, most significant first. These are never missing, so they stand at one place.
_FIXED = {"float64": ">f8", "int64": ">i8", "bool": "?"}
_MISSING = b"\xff\xff\xff\xff"
_BEGIN = b"PGCOPY\n\xff\r\n\x00" + bytes(8)
_END = b"\xff\xff"


def quoted(name: str) -> str:
    return f'"{name}"'


def listed(names: Any, prefix: str = "") -> str:
    return ", ".join(f"{prefix}{quoted(name)}" for name in names)


def put(cursor: Any, table: str, rows: pa.Table, dtypes: Mapping[str, str]) -> None:
    """Append rows, which have these columns, to the table's columns of the same names."""
    arranged = _arranged(dtypes)
    with cursor.copy(f"COPY {quoted(table)} ({listed(arranged)}) FROM STDIN (FORMAT binary)") as copy:
        copy.write(_BEGIN)
        for start in range(0, rows.num_rows, _CHUNK):
            copy.write(_encoded(rows.slice(start, _CHUNK), arranged))
        copy.write(_END)


def get(cursor: Any, query: str, dtypes: Mapping[str, str], arguments: Any = ()) -> pa.Table:
    """These columns, of these dtypes, of the answer to a query that has them."""
    arranged = _arranged(dtypes)
    parts = []
    with cursor.copy(f"COPY (SELECT {listed(arranged)} FROM ({query}) q) TO STDOUT (FORMAT binary)", arguments) as copy:
        for messages in _messages(copy):
            parts.append(_decoded(messages, arranged))
    types = pa.schema([(name, ARROW[dtype]) for name, dtype in arranged.items()])
    return pa.Table.from_batches(parts, types).select(list(dtypes))


def _arranged(dtypes: Mapping[str, str]) -> dict[str, str]:
    """The columns in the order of the wire: those that stand at one place of each row first."""
    return dict(sorted(dtypes.items(), key=lambda item: item[1] not in _FIXED))


def _lead(dtypes: Mapping[str, str]) -> np.dtype[Any]:
    """The beginning of a row: the number of its cells, and those of fixed width with their lengths."""
    fixed = [(name, np.dtype(_FIXED[dtype])) for name, dtype in dtypes.items() if dtype in _FIXED]
    cells = [cell for name, kind in fixed for cell in ((f"{name} length", ">i4"), (name, kind))]
    return np.dtype([("cells", ">i2"), *cells])


def _encoded(rows: pa.Table, dtypes: Mapping[str, str]) -> bytes:
    kind = _lead(dtypes)
    lead = np.empty(rows.num_rows, dtype=kind)
    lead["cells"] = len(dtypes)
    tails: Any = np.full(rows.num_rows, b"", dtype=object)
    for name, dtype in dtypes.items():
        column = rows.column(name)
        if dtype in _FIXED:
            lead[f"{name} length"] = kind[name].itemsize
            lead[name] = column.to_numpy()
        else:
            tails = tails + (_texts(column) if dtype == "string" else _instants(column))
    whole, width = lead.tobytes(), kind.itemsize
    rest = tails.tolist()
    return b"".join([part for row, tail in enumerate(rest) for part in (whole[row * width : (row + 1) * width], tail)])


def _texts(column: pa.ChunkedArray) -> Any:
    """The cells of a column of texts, each distinct one made once."""
    encoded = column.combine_chunks().dictionary_encode()
    distinct = [text.encode() for text in encoded.dictionary.to_pylist()]
    cells = np.empty(len(distinct) + 1, dtype=object)
    cells[:] = [*(len(text).to_bytes(4, "big") + text for text in distinct), _MISSING]
    return cells[encoded.indices.fill_null(len(distinct)).to_numpy()]


def _instants(column: pa.ChunkedArray) -> Any:
    cells = np.empty(len(column), dtype=[("length", ">i4"), ("instant", ">i8")])
    cells["length"] = 8
    cells["instant"] = column.cast(pa.int64()).fill_null(_EPOCH).to_numpy() - _EPOCH
    whole = cells.tobytes()
    made = np.empty(len(column), dtype=object)
    made[:] = [whole[start : start + 12] for start in range(0, len(whole), 12)]
    made[column.is_null().to_numpy()] = _MISSING
    return made


def _messages(copy: Any) -> Iterator[list[bytes]]:
    """The rows as Postgres sends them, each as one message, some at a time."""
    found: list[bytes] = []
    for number, block in enumerate(copy):
        message = bytes(block)
        if number == 0:
            message = message[len(_BEGIN) :]
        if message in (_END, b""):
            continue
        found.append(message)
        if len(found) == _CHUNK:
            yield found
            found = []
    if found:
        yield found


def _decoded(messages: Sequence[bytes], dtypes: Mapping[str, str]) -> pa.RecordBatch:
    kind = _lead(dtypes)
    width = kind.itemsize
    lead = np.frombuffer(b"".join([message[:width] for message in messages]), dtype=kind)
    tail = _Tail([message[width:] for message in messages])
    arrays = []
    for name, dtype in dtypes.items():
        if dtype not in _FIXED:
            arrays.append(tail.texts() if dtype == "string" else tail.instants())
        elif (lead[f"{name} length"] == kind[name].itemsize).all():
            arrays.append(pa.array(lead[name].astype(kind[name].newbyteorder("="))))
        else:
            raise StoreUnavailable(
                f"a value of {name} is NULL in Postgres, which btcfs never writes; another client did"
            )
    if not tail.ended:
        raise StoreUnavailable("Postgres sent rows in another shape than was asked for")
    return pa.record_batch(arrays, list(dtypes))


class _Tail:
    """The cells of varying width of some rows, taken column by column."""

    def __init__(self, rows: Sequence[bytes]) -> None:
        self._bytes: Bytes = np.frombuffer(b"".join(rows), dtype="uint8")
        self._ends = np.cumsum(np.fromiter(map(len, rows), "int64", len(rows)))
        self._places = np.r_[0, self._ends[:-1]]

    @property
    def ended(self) -> bool:
        """Whether every byte was taken."""
        return bool((self._places == self._ends).all())

    def instants(self) -> pa.Array:
        lengths = self._lengths()
        missing = lengths < 0
        micros = np.zeros(len(lengths), dtype="int64")
        micros[~missing] = self._numbers(self._places[~missing], ">i8") + _EPOCH
        self._places = self._places + np.maximum(lengths, 0)
        return pa.array(micros, mask=missing).cast(ARROW["timestamp"])

    def texts(self) -> pa.Array:
        lengths = self._lengths()
        sizes = np.maximum(lengths, 0)
        inside = np.zeros(len(self._bytes) + 1, dtype="int8")
        inside[self._places] += 1
        inside[self._places + sizes] -= 1
        content = self._bytes[np.cumsum(inside[:-1], dtype="int8").view("bool")]
        offsets = np.r_[0, np.cumsum(sizes)].astype("int32")
        self._places = self._places + sizes
        valid = pa.array(lengths >= 0).buffers()[1] if (lengths < 0).any() else None
        buffers = [valid, pa.py_buffer(offsets), pa.py_buffer(content.tobytes())]
        return pa.Array.from_buffers(pa.string(), len(lengths), buffers)

    def _lengths(self) -> np.ndarray[Any, np.dtype[np.int64]]:
        found = self._numbers(self._places, ">i4")
        self._places = self._places + 4
        return found

    def _numbers(self, places: Any, kind: str) -> np.ndarray[Any, np.dtype[np.int64]]:
        width = np.dtype(kind).itemsize
        taken = self._bytes[places[:, None] + np.arange(width)]
        return np.asarray(taken.view(kind)[:, 0].astype("int64"))
