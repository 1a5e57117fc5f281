"""The rows of a Kafka topic: schemaless Avro, one record per row, written with the schema of its group."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

from fastavro import parse_schema, schemaless_reader

from btcfs_hopsworks.emulator.hive import is_complex, to_avro
from btcfs_hopsworks.emulator.metadata import Group


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


def row_reader(group: Group) -> Callable[[bytes], dict[str, Any]]:
    """A function from a message's value to its row; complex columns stay Avro bytes."""
    schema = parse_schema(wire_schema(group))
    return lambda value: schemaless_reader(io.BytesIO(value), schema, None)  # type: ignore[return-value]


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
