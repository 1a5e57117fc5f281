"""Arrow tables into Postgres and out of it, by COPY in its binary format and with the same bits."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import attrs
import numpy as np
import pyarrow as pa

from btcfs.ahead import ahead
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
Integers = np.ndarray[Any, np.dtype[np.int64]]

_SENT = 8_192  # rows made while those before them are sent
_TAKEN = 4_096  # rows taken together from what was received
_BLOCK = 1_024  # rows laid out at once, so that they stay in the processor's cache
_PAUSE = 0.001  # seconds in which Postgres sends more than it does at a time
_EPOCH = 946_684_800_000_000  # Postgres counts microseconds from 2000 on
# Each cell is its length and its bytes, most significant first. These are never missing, so they stand at one place,
# and those of a kind beside each other.
_FIXED = {"float64": np.dtype(">f8"), "int64": np.dtype(">i8"), "bool": np.dtype("?")}
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
        for encoded in _encodings(rows, arranged):
            copy.write(encoded)
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
    """The columns in the order of the wire: those that stand at one place of each row first, by their kinds."""
    order = [*_FIXED, *dtypes.values()]
    return dict(sorted(dtypes.items(), key=lambda item: min(order.index(item[1]), len(_FIXED))))


def _encodings(rows: pa.Table, dtypes: Mapping[str, str]) -> Iterator[bytes]:
    """The rows as they go over the wire, those of many made while those before them are sent."""
    parts = [partial(_encoded, rows.slice(start, _SENT), dtypes) for start in range(0, rows.num_rows, _SENT)]
    if len(parts) < 2:
        yield from (encode() for encode in parts)
        return
    with ThreadPoolExecutor(1, thread_name_prefix="btcfs-encoding") as pool:
        yield from ahead(pool, parts)


def _encoded(rows: pa.Table, dtypes: Mapping[str, str]) -> Any:
    """The rows as they go over the wire, made together where their cells have the same widths."""
    fixed = [(_FIXED[dtype], rows.column(name).to_numpy()) for name, dtype in dtypes.items() if dtype in _FIXED]
    varying = [
        _texts(rows.column(name)) if dtype == "string" else _instants(rows.column(name))
        for name, dtype in dtypes.items()
        if dtype not in _FIXED
    ]
    shapes = _shapes(varying)
    if len(shapes) == 1:
        return _alike(rows.num_rows, fixed, varying).view("u1").data
    found = np.empty(rows.num_rows, dtype=object)
    for places in shapes:
        some = [(kind, values[places]) for kind, values in fixed]
        block = _alike(len(places), some, [column.take(places) for column in varying])
        found[places] = [row.tobytes() for row in block]
    return b"".join(found)


@attrs.frozen(eq=False)
class _Varying:
    """A column of cells of various widths: numbers, or the places of ``texts``."""

    widths: Integers
    values: Integers
    texts: Sequence[bytes] | None = None

    def take(self, places: Any) -> _Varying:
        return _Varying(self.widths[places], self.values[places], self.texts)

    def cells(self) -> tuple[int, np.dtype[Any], Any]:
        """The width of all of them, their kind and their values."""
        width = int(self.widths[0])
        if self.texts is None or width < 1:
            return width, np.dtype(">i8"), self.values
        kind = np.dtype(f"S{width}")
        return width, kind, np.array([text[:width] for text in self.texts], kind)[self.values]


def _shapes(varying: Sequence[_Varying]) -> list[Any]:
    """Where the rows stand whose cells have the same widths, for each such widths."""
    widths = np.stack([column.widths for column in varying], axis=1) if varying else np.zeros((1, 0))
    if (widths == widths[0]).all():
        return [slice(None)]
    _, shape = np.unique(widths, axis=0, return_inverse=True)
    order = np.argsort(shape.ravel(), kind="stable")
    return np.split(order, np.flatnonzero(np.diff(shape.ravel()[order])) + 1)


def _alike(count: int, fixed: Sequence[tuple[Any, Any]], varying: Sequence[_Varying]) -> np.ndarray[Any, Any]:
    """Rows whose cells have the same widths, as one array."""
    cells = [(kind.itemsize, kind, values) for kind, values in fixed] + [column.cells() for column in varying]
    rows = np.repeat(_row([(width, kind) for width, kind, _ in cells]), count)
    for start in range(0, count, _BLOCK):
        block, span = rows[start : start + _BLOCK], slice(start, start + _BLOCK)
        for place, (width, _, values) in enumerate(cells):
            if width > 0:
                block[f"{place}"] = values[span]
    return rows


def _row(cells: Sequence[tuple[int, np.dtype[Any]]]) -> np.ndarray[Any, Any]:
    """A row of cells of these widths and kinds, their values still zero: how many there are, then each one's length and bytes."""
    fields: list[tuple[str, Any]] = [("cells", ">i2")]
    for place, (width, kind) in enumerate(cells):
        fields += [(f"length {place}", ">i4"), *([(f"{place}", kind)] if width > 0 else [])]
    row = np.zeros(1, dtype=fields)
    row["cells"] = len(cells)
    for place, (width, _) in enumerate(cells):
        row[f"length {place}"] = width
    return row


def _texts(column: pa.ChunkedArray) -> _Varying:
    """The cells of a column of texts, each distinct one made once."""
    encoded = column.combine_chunks().dictionary_encode()
    distinct = [text.encode() for text in encoded.dictionary.to_pylist()]
    places = encoded.indices.fill_null(len(distinct)).to_numpy()
    return _Varying(np.array([*map(len, distinct), _MISSING])[places], places, [*distinct, b""])


def _instants(column: pa.ChunkedArray) -> _Varying:
    widths = np.where(column.is_null().to_numpy(), _MISSING, 8)
    return _Varying(widths, column.cast(pa.int64()).fill_null(_EPOCH).to_numpy() - _EPOCH)


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


def _decoded(rows: bytearray, lengths: Sequence[int], dtypes: Mapping[str, str]) -> pa.RecordBatch:
    tail = _Tail(rows, lengths)
    arrays = []
    for dtype, kind in _FIXED.items():
        names = [name for name, other in dtypes.items() if other == dtype]
        arrays += tail.fixed(kind, names) if names else []
    arrays += [
        tail.texts() if dtype == "string" else tail.instants() for dtype in dtypes.values() if dtype not in _FIXED
    ]
    if not tail.ended:
        raise StoreUnavailable("Postgres sent rows in another shape than was asked for")
    return pa.record_batch(arrays, list(dtypes))


class _Tail:
    """What is not yet taken of some rows, column by column.

    As long as the rows are alike, a column stands at the same place of each; from the first column on in which they
    differ, each row has its own.
    """

    def __init__(self, rows: bytearray, lengths: Sequence[int]) -> None:
        self._bytes: Bytes = np.frombuffer(rows, dtype="uint8")
        self._count = len(lengths)
        self._ends = np.cumsum(lengths)
        self._places = self._ends - lengths + 2  # the number of cells comes first
        self._stride = lengths[0] if min(lengths) == max(lengths) else 0

    @property
    def ended(self) -> bool:
        """Whether every byte was taken."""
        return bool((self._places == self._ends).all())

    def fixed(self, kind: np.dtype[Any], names: Sequence[str]) -> list[pa.Array]:
        """The next columns, all of one width. StoreUnavailable if a value is missing."""
        size, width = 4 + kind.itemsize, len(names)
        content, stride, start = self._bytes, self._stride, int(self._places[0])
        if not stride:
            stride, start = size * width, 0
            parts = [content[place : place + stride] for place in self._places.tolist()]
            content = np.concatenate(parts)
        shape, strides = (self._count, width), (stride, size)
        missing = np.ndarray(shape, ">i4", content.data, start, strides) != kind.itemsize
        if missing.any():
            raise StoreUnavailable(
                f"a value of {names[int(missing.any(axis=0).argmax())]} is NULL in Postgres, which btcfs never writes; "
                f"another client did"
            )
        values = np.empty((width, self._count), kind.newbyteorder("="))
        values[...] = np.ndarray(shape, kind, content.data, start + 4, strides).T
        self._places = self._places + size * width
        return [pa.array(column) for column in values]

    def instants(self) -> pa.Array:
        lengths = self._lengths()
        missing = lengths < 0
        micros = np.zeros(len(lengths), dtype="int64")
        if missing.any():
            micros[~missing] = self._gathered(self._places[~missing], ">i8") + _EPOCH
        else:
            micros[:] = self._numbers(">i8")
            micros += _EPOCH
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
        found: Integers = self._numbers(">i4").astype("int64")
        self._places = self._places + 4
        if (found != found[0]).any():
            self._stride = 0
        return found

    def _numbers(self, kind: str) -> Any:
        if self._stride:
            return np.ndarray(self._count, kind, self._bytes.data, int(self._places[0]), (self._stride,))
        return self._gathered(self._places, kind)

    def _gathered(self, places: Any, kind: str) -> Any:
        taken = self._bytes[places[:, None] + np.arange(np.dtype(kind).itemsize)]
        return taken.view(kind)[:, 0]
