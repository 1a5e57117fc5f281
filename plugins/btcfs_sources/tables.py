"""Reading a CSV or Parquet file as a stream of Arrow batches with named columns."""

from __future__ import annotations

import csv
import gzip
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import attrs
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from btcfs.errors import ConfigError, SchemaError, StoreUnavailable
from btcfs_sources.layouts import headerless

BLOCK_BYTES = 16 << 20
BATCH_ROWS = 250_000
_HEAD_LINES = 20


@attrs.frozen(eq=False)
class Table:
    """A file with its column names; ``batches(columns)`` reads those columns, ``where(row)`` names a row's place."""

    path: Path
    names: tuple[str, ...]
    batches: Callable[[Sequence[str]], Iterator[Any]]
    where: Callable[[int], str]


def open_table(kind: str, path: Path) -> Table:
    """The file as a table. ConfigError if there is no such file; SchemaError if it is not of that kind."""
    if not path.is_file():
        problem = "is a folder" if path.is_dir() else "does not exist"
        raise ConfigError(f"candle file {path} {problem}; give the path of a {kind} file")
    with _readable(path):
        return _parquet(path) if kind == "parquet" else _csv(path)


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """What goes wrong while reading a file, told as an error of ours."""
    try:
        yield
    except (pa.ArrowInvalid, UnicodeDecodeError, EOFError, zlib.error, gzip.BadGzipFile, csv.Error) as exc:
        raise _damaged(path, exc) from exc
    except OSError as exc:
        if exc.errno is None:  # Arrow's own: a compressed stream that ends early or is none
            raise _damaged(path, exc) from exc
        raise StoreUnavailable(f"cannot read {path}: {exc}") from exc


def _damaged(path: Path, exc: Exception) -> SchemaError:
    return SchemaError(f"{path} cannot be read as a table of candles, it is cut off or damaged: {exc}")


def _parquet(path: Path) -> Table:
    names = tuple(pq.read_schema(path).names)

    def batches(columns: Sequence[str]) -> Iterator[Any]:
        with _readable(path), pq.ParquetFile(path) as file:
            yield from file.iter_batches(batch_size=BATCH_ROWS, columns=list(columns))

    return Table(path, names, batches, lambda row: f"{path}, row {row}")


def _csv(path: Path) -> Table:
    head = _head(path)
    preamble = _preamble(head)
    if preamble == len(head):
        raise SchemaError(f"{path} is empty; expected a header line and candles")
    first = head[preamble]
    delimiter = max(",;\t", key=first.count)
    cells = next(csv.reader([first], delimiter=delimiter))
    with_header = not all(_is_number(cell) for cell in cells)
    try:
        names = tuple(cells) if with_header else headerless(cells)
    except SchemaError as exc:
        raise SchemaError(f"{path} {exc}") from exc
    skipped = preamble + with_header
    return Table(path, names, _csv_batches(path, names, skipped, delimiter), lambda row: _line(path, skipped, row))


def _csv_batches(
    path: Path, names: Sequence[str], skipped: int, delimiter: str
) -> Callable[[Sequence[str]], Iterator[Any]]:
    positions = [str(position) for position in range(len(names))]  # a file may have two columns of one name

    def batches(columns: Sequence[str]) -> Iterator[Any]:
        chosen = [positions[names.index(name)] for name in columns]
        with _readable(path), _bytes(path) as stream:
            try:
                reader = pa.csv.open_csv(
                    stream,
                    read_options=pa.csv.ReadOptions(
                        column_names=positions, skip_rows=skipped, block_size=BLOCK_BYTES, use_threads=False
                    ),
                    parse_options=pa.csv.ParseOptions(delimiter=delimiter),
                    convert_options=pa.csv.ConvertOptions(
                        include_columns=chosen, column_types={position: pa.string() for position in positions}
                    ),
                )
            except pa.ArrowInvalid as exc:
                if "Empty CSV" in str(exc):
                    return
                raise
            for batch in reader:
                yield pa.RecordBatch.from_arrays(batch.columns, names=list(columns))

    return batches


def _bytes(path: Path) -> Any:
    file = pa.OSFile(str(path), "rb")
    return pa.CompressedInputStream(file, "gzip") if _is_gzip(path) else file


def _is_gzip(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) == b"\x1f\x8b"


def _text(path: Path) -> Any:
    opened = gzip.open if _is_gzip(path) else open
    return opened(path, "rt", encoding="utf-8-sig", newline="")


def _head(path: Path) -> list[str]:
    with _text(path) as file:
        return [line.rstrip("\r\n") for line in islice(file, _HEAD_LINES)]


def _preamble(head: Sequence[str]) -> int:
    """How many lines come before the table: empty ones, comments, and the address of the publisher."""
    for number, line in enumerate(head):
        if line.strip() and not line.startswith("#") and not line.lower().lstrip('"').startswith(("http:", "https:")):
            return number
    return len(head)


def _line(path: Path, skipped: int, row: int) -> str:
    """The place of a row of data: lines without content are not rows."""
    with _text(path) as file:
        numbers = (number for number, line in enumerate(file, 1) if number > skipped and line.strip())
        return f"{path}, line {next(islice(numbers, row, None), row + skipped + 1)}"


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
