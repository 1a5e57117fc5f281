"""Many requests as CSV: a header of a request's fields, then a row for each, read as strictly as JSON."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterator, Sequence
from itertools import islice

import msgspec

from btcfs.errors import SchemaError
from btcfs.serving.bodies import MOST_REQUESTS, PredictionRequest
from btcfs.serving.problems import Malformed

MEDIA_TYPE = "text/csv"
FIELDS = PredictionRequest.__struct_fields__
_NUMBERS = ("open", "high", "low", "close", "volume")
_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?")


def is_csv(content_type: str) -> bool:
    """Whether a body of that content type is CSV. SchemaError for one in another encoding than UTF-8."""
    kind, *rest = (part.strip().lower() for part in content_type.split(";"))
    if kind != MEDIA_TYPE:
        return False
    for parameter in rest:
        name, _, value = parameter.partition("=")
        if name == "charset" and value.strip('"') not in ("utf-8", "us-ascii"):
            raise SchemaError(f"the body's charset is {value[:20]!r}, expected utf-8")
    return True


def decode_csv(body: bytes) -> list[PredictionRequest | SchemaError]:
    """The request in each row, in order; in the place of a row that holds none, what is wrong with it, by its line.

    An empty cell is a field left out. Malformed for what is not CSV in UTF-8; SchemaError for a header of other fields,
    no row, or more than ``MOST_REQUESTS``.
    """
    try:
        table = list(_rows(body.decode("utf-8-sig").rstrip("\r\n")))
    except (UnicodeDecodeError, csv.Error) as exc:
        raise Malformed(f"the body is not CSV in UTF-8: {exc}") from exc
    if not table:
        raise SchemaError(f"the body is empty; its first line names fields among {', '.join(FIELDS)}")
    header = _header(table[0][1])
    if not 1 <= len(table) - 1 <= MOST_REQUESTS:
        found = "no row is" if len(table) == 1 else "too many rows are"
        raise SchemaError(f"{found} below the header, expected 1 to {MOST_REQUESTS:,}")
    return [_request(header, line, cells) for line, cells in table[1:]]


def _rows(text: str) -> Iterator[tuple[int, list[str]]]:
    """Each row with the number of its last line; no more of them than tell that they are too many."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    for cells in islice(reader, MOST_REQUESTS + 2):
        yield reader.line_num, cells


def _header(names: Sequence[str]) -> Sequence[str]:
    for name in names:
        if name not in FIELDS:
            raise SchemaError(f"the header has {name[:40]!r}, expected fields among {', '.join(FIELDS)}")
        if names.count(name) > 1:
            raise SchemaError(f"the header has {name!r} more than once")
    if not names:
        raise SchemaError(f"the first line is empty; it names fields among {', '.join(FIELDS)}")
    return names


def _request(header: Sequence[str], line: int, cells: Sequence[str]) -> PredictionRequest | SchemaError:
    if len(cells) != len(header):
        return SchemaError(f"line {line}: it has {len(cells)} fields, the header has {len(header)}")
    try:
        given = {name: _value(name, cell) for name, cell in zip(header, cells, strict=True) if cell}
        return msgspec.convert(given, PredictionRequest)
    except (SchemaError, msgspec.ValidationError) as exc:
        return SchemaError(f"line {line}: {exc}")


def _value(name: str, cell: str) -> str | float:
    """The cell's number, or its text where the field is none. SchemaError for what is no finite number in plain digits."""
    if name not in _NUMBERS:
        return cell
    number = float(cell) if _NUMBER.fullmatch(cell) else math.nan
    if not math.isfinite(number):
        raise SchemaError(f"{name} is {cell[:40]!r}, expected a number such as 50000.5")
    return number
