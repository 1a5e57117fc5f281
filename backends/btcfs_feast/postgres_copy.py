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
# The cells of a column whose width varies: how many bytes each has, and the numbers or texts themselves.
Varying = tuple[np.ndarray[Any, np.dtype[np.int64]], np.ndarray[Any, Any]]

_CHUNK = 16_384
_EPOCH = 946_684_800_000_000  # Postgres counts microseconds from 2000 on
# Each cell is its length and its bytes, most significant first. These are never missing, so they stand at one place.
_FIXED = {"float64": ">f8", "int64": ">i8", "bool": "?"}
_MISSING = -1  # the length of a cell that has none
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
        for rows, lengths in _received(copy):
            parts.append(_decoded(rows, lengths, arranged))
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
    """The rows as they go over the wire, made together where their cells have the same widths."""
    lead = _leading(rows, dtypes)
    varying = [
        _texts(rows.column(name)) if dtype == "string" else _instants(rows.column(name))
        for name, dtype in dtypes.items()
        if dtype not in _FIXED
    ]
    shapes = _shapes(varying)
    blocks = [
        _alike(lead[places], [(widths[places], values[places]) for widths, values in varying]) for places in shapes
    ]
    if len(blocks) == 1:
        return blocks[0].tobytes()
    found = np.empty(len(lead), dtype=object)
    for places, block in zip(shapes, blocks, strict=True):
        found[places] = [row.tobytes() for row in block]
    return b"".join(found)


def _leading(rows: pa.Table, dtypes: Mapping[str, str]) -> np.ndarray[Any, Any]:
    kind = _lead(dtypes)
    fixed = [name for name, dtype in dtypes.items() if dtype in _FIXED]
    row = np.zeros(1, dtype=kind)
    row["cells"] = len(dtypes)
    for name in fixed:
        row[f"{name} length"] = kind[name].itemsize
    lead = np.repeat(row, rows.num_rows)
    for name in fixed:
        lead[name] = rows.column(name).to_numpy()
    return lead.view(f"V{kind.itemsize}")


def _shapes(varying: Sequence[Varying]) -> list[Any]:
    """Where the rows stand whose cells have the same widths, for each such widths."""
    widths = np.stack([widths for widths, _ in varying], axis=1) if varying else np.zeros((1, 0))
    if (widths == widths[0]).all():
        return [slice(None)]
    _, shape = np.unique(widths, axis=0, return_inverse=True)
    order = np.argsort(shape.ravel(), kind="stable")
    return np.split(order, np.flatnonzero(np.diff(shape.ravel()[order])) + 1)


def _alike(lead: np.ndarray[Any, Any], varying: Sequence[Varying]) -> np.ndarray[Any, Any]:
    """Rows of one shape, as one array."""
    cells: list[tuple[str, Any]] = []
    for number, (widths, values) in enumerate(varying):
        held = [] if widths[0] < 1 else [(f"{number}", f"S{widths[0]}" if values.dtype == object else ">i8")]
        cells += [(f"{number} length", ">i4"), *held]
    rows = np.empty(len(lead), dtype=[("lead", lead.dtype), *cells])
    rows["lead"] = lead
    for number, (widths, values) in enumerate(varying):
        rows[f"{number} length"] = widths
        if widths[0] > 0:
            whole = values.dtype == object
            rows[f"{number}"] = np.frombuffer(b"".join(values), f"S{widths[0]}") if whole else values
    return rows


def _texts(column: pa.ChunkedArray) -> Varying:
    """The cells of a column of texts, each distinct one made once."""
    encoded = column.combine_chunks().dictionary_encode()
    distinct = [text.encode() for text in encoded.dictionary.to_pylist()]
    places = encoded.indices.fill_null(len(distinct)).to_numpy()
    texts = np.empty(len(distinct) + 1, dtype=object)
    texts[:] = [*distinct, b""]
    return np.array([*map(len, distinct), _MISSING])[places], texts[places]


def _instants(column: pa.ChunkedArray) -> Varying:
    widths = np.where(column.is_null().to_numpy(), _MISSING, 8)
    return widths, column.cast(pa.int64()).fill_null(_EPOCH).to_numpy() - _EPOCH


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
        if len(lengths) >= _CHUNK:
            yield rows, lengths
            rows, lengths = bytearray(), list[int]()
            count = lengths.append
        message = copy.read()
    if lengths:
        yield rows, lengths


def _decoded(rows: bytearray, lengths: Sequence[int], dtypes: Mapping[str, str]) -> pa.RecordBatch:
    kind = _lead(dtypes)
    ends = np.cumsum(lengths)
    starts = ends - lengths
    if min(lengths) == max(lengths):
        lead = np.ndarray(len(lengths), kind, rows, strides=(lengths[0],))
    else:
        lead = np.frombuffer(b"".join([rows[start : start + kind.itemsize] for start in starts.tolist()]), kind)
    tail = _Tail(rows, starts + kind.itemsize, ends)
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

    def __init__(self, rows: bytearray, places: Any, ends: Any) -> None:
        self._bytes: Bytes = np.frombuffer(rows, dtype="uint8")
        self._places = places
        self._ends = ends

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
        offsets = np.r_[0, np.cumsum(sizes)].astype("int32")
        content = self._bytes[np.repeat(self._places - offsets[:-1], sizes) + np.arange(offsets[-1])]
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
