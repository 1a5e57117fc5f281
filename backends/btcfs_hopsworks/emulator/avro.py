"""The rows of a Kafka topic: schemaless Avro, one record per row, written with the schema of its group."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import Any

from fastavro import parse_schema, schemaless_reader

from btcfs_hopsworks.emulator.hive import is_complex, to_avro
from btcfs_hopsworks.emulator.metadata import Group

_END = b"\0"


def record_schema(group: Group, featurestore: str = "featurestore") -> dict[str, Any]:
    """The schema that the subject of a group answers with: every field may be null."""
    return {
        "type": "record",
        "name": group.table,
        "namespace": f"{featurestore}.db",
        "fields": [
            {"name": feature.name, "type": ["null", to_avro(feature.type, feature.name)]} for feature in group.features
        ],
    }


def wire_schema(group: Group) -> dict[str, Any]:
    """The schema rows are written with: a complex column is its own Avro bytes inside the record."""
    schema = record_schema(group)
    for field, feature in zip(schema["fields"], group.features, strict=True):
        if is_complex(feature.type):
            field["type"] = ["null", "bytes"]
    return schema


def rows_reader(group: Group) -> Callable[[Sequence[bytes]], list[dict[str, Any]]]:
    """A function from the values of messages to their rows.

    Instants are microseconds since 1970 and dates are days, both UTC; complex columns stay Avro bytes. The function
    raises ValueError if a message was not written with the schema of the group.
    """
    schema = _without_calendar(wire_schema(group))
    one, many = parse_schema(schema), parse_schema({"type": "array", "items": schema})

    def read(values: Sequence[bytes]) -> list[dict[str, Any]]:
        if not values:
            return []
        try:
            # Read as one array of records, they cost half of what they do one by one.
            found: list[dict[str, Any]] = _whole(_count(len(values)) + b"".join(values) + _END, many)
        except ValueError:
            found = [_whole(value, one) for value in values]
        return found

    return read


def complex_readers(group: Group) -> dict[str, Callable[[bytes], Any]]:
    """For each complex column, a function from its Avro bytes to its value."""
    return {
        feature.name: _value_reader(["null", to_avro(feature.type, feature.name)])
        for feature in group.features
        if is_complex(feature.type)
    }


def _value_reader(kind: list[Any]) -> Callable[[bytes], Any]:
    schema = parse_schema(kind)
    return lambda value: schemaless_reader(io.BytesIO(value), schema, None)


def _without_calendar(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema with plain numbers for instants and dates, which are made into objects only where that is needed."""
    plain = []
    for field in schema["fields"]:
        kind = field["type"][1]
        counted = isinstance(kind, dict) and kind.get("logicalType") in ("timestamp-micros", "date")
        plain.append({**field, "type": ["null", kind["type"]]} if counted else field)
    return {**schema, "fields": plain}


def _whole(raw: bytes, schema: Any) -> Any:
    """What the bytes encode, all of them. ValueError if they are too few or too many, or make no sense."""
    stream = io.BytesIO(raw)
    try:
        found = schemaless_reader(stream, schema, None)
    except (EOFError, IndexError, UnicodeDecodeError, OverflowError, MemoryError) as exc:
        raise ValueError(f"a message was not written with the schema of its group: {exc!r}") from exc
    if stream.tell() != len(raw):
        raise ValueError(
            f"a message was not written with the schema of its group: {len(raw) - stream.tell()} bytes left"
        )
    return found


def _count(number: int) -> bytes:
    """The number of items in an Avro block: a zigzag variable-length long."""
    left, raw = number << 1, bytearray()
    while left > 0x7F:
        raw.append(left & 0x7F | 0x80)
        left >>= 7
    raw.append(left)
    return bytes(raw)
