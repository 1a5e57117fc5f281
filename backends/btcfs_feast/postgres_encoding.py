"""Arrow tables as the rows of Postgres's binary COPY format."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import attrs
import numpy as np
import pyarrow as pa

from btcfs.ahead import ahead

Integers = np.ndarray[Any, np.dtype[np.int64]]

# Each cell is its length and its bytes, most significant first. These are never missing, so they stand at one place of
# each row, and those of a kind beside each other.
FIXED = {"float64": np.dtype(">f8"), "int64": np.dtype(">i8"), "bool": np.dtype("?")}
MISSING = -1  # the length of a cell that has none
EPOCH = 946_684_800_000_000  # Postgres counts microseconds from 2000 on
_SENT = 8_192  # rows made while those before them are sent
_BLOCK = 1_024  # rows laid out at once, so that they stay in the processor's cache


def arranged(dtypes: Mapping[str, str]) -> dict[str, str]:
    """The columns in the order of the wire: those that stand at one place of each row first, by their kinds."""
    order = list(FIXED)
    return dict(sorted(dtypes.items(), key=lambda item: order.index(item[1]) if item[1] in order else len(order)))


def encodings(rows: pa.Table, dtypes: Mapping[str, str]) -> Iterator[bytes]:
    """The rows as they go over the wire, those of many made while those before them are sent."""
    parts = [partial(_encoded, rows.slice(start, _SENT), dtypes) for start in range(0, rows.num_rows, _SENT)]
    if len(parts) < 2:
        yield from (encode() for encode in parts)
        return
    with ThreadPoolExecutor(1, thread_name_prefix="btcfs-encoding") as pool:
        yield from ahead(pool, parts)


def _encoded(rows: pa.Table, dtypes: Mapping[str, str]) -> Any:
    """The rows as they go over the wire, made together where their cells have the same widths."""
    fixed = [(FIXED[dtype], rows.column(name).to_numpy()) for name, dtype in dtypes.items() if dtype in FIXED]
    varying = [
        _texts(rows.column(name)) if dtype == "string" else _instants(rows.column(name))
        for name, dtype in dtypes.items()
        if dtype not in FIXED
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
        if len(self.texts) > len(self.values):
            return width, kind, np.frombuffer(b"".join([self.texts[place] for place in self.values.tolist()]), kind)
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
    return _Varying(np.array([*map(len, distinct), MISSING])[places], places, [*distinct, b""])


def _instants(column: pa.ChunkedArray) -> _Varying:
    widths = np.where(column.is_null().to_numpy(), MISSING, 8)
    return _Varying(widths, column.cast(pa.int64()).fill_null(EPOCH).to_numpy() - EPOCH)
