"""Hive types, in which Hopsworks describes features, as the types of DuckDB, MySQL and Avro."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

_DUCKDB = {
    "tinyint": "TINYINT",
    "smallint": "SMALLINT",
    "int": "INTEGER",
    "bigint": "BIGINT",
    "float": "FLOAT",
    "double": "DOUBLE",
    "decimal": "DECIMAL(10, 0)",
    "string": "VARCHAR",
    "boolean": "BOOLEAN",
    "timestamp": "TIMESTAMP",
    "date": "DATE",
    "binary": "BLOB",
}
_ARROW = {
    "tinyint": pa.int8(),
    "smallint": pa.int16(),
    "int": pa.int32(),
    "bigint": pa.int64(),
    "float": pa.float32(),
    "double": pa.float64(),
    "string": pa.string(),
    "boolean": pa.bool_(),
    "timestamp": pa.timestamp("us"),
    "date": pa.date32(),
    "binary": pa.binary(),
}
_MYSQL = {
    "boolean": "tinyint",
    "string": "varchar(100)",
    "binary": "varbinary(100)",
}
_AVRO: dict[str, Any] = {
    "tinyint": "int",
    "smallint": "int",
    "int": "int",
    "bigint": "long",
    "float": "float",
    "double": "double",
    "string": "string",
    "boolean": "boolean",
    "timestamp": {"type": "long", "logicalType": "timestamp-micros"},
    "date": {"type": "int", "logicalType": "date"},
    "binary": "bytes",
}


def is_complex(hive: str) -> bool:
    """Whether a value of the type is stored online as Avro bytes."""
    return hive.strip().lower().startswith(("array<", "struct<", "map<", "uniontype<"))


def parameters(text: str) -> tuple[str, ...]:
    """The parts of a comma separated list that are not inside brackets: ``a,map<b,c>`` has two."""
    parts, depth, begun = [], 0, 0
    for position, character in enumerate(text):
        depth += (character in "<(") - (character in ">)")
        if character == "," and depth == 0:
            parts.append(text[begun:position])
            begun = position + 1
    parts.append(text[begun:])
    return tuple(part.strip() for part in parts)


def struct_fields(hive: str) -> tuple[tuple[str, str], ...]:
    """Name and type of each field of ``struct<a:int,b:string>``."""
    pairs = (field.partition(":") for field in parameters(hive[len("struct<") : -1]))
    return tuple((name.strip(), kind.strip()) for name, _, kind in pairs)


def to_duckdb(hive: str) -> str:
    """The DuckDB type of a Hive type; ValueError for one that is not a Hive type."""
    kind = hive.strip().lower()
    if kind.startswith("array<"):
        return f"{to_duckdb(kind[len('array<') : -1])}[]"
    if kind.startswith("map<"):
        key, value = parameters(kind[len("map<") : -1])
        return f"MAP({to_duckdb(key)}, {to_duckdb(value)})"
    if kind.startswith("struct<"):
        fields = ", ".join(f'"{name}" {to_duckdb(part)}' for name, part in struct_fields(kind))
        return f"STRUCT({fields})"
    if kind.startswith("decimal("):
        return kind.upper()
    if kind not in _DUCKDB:
        raise ValueError(f"{hive!r} is not a Hive type; known: {', '.join(sorted(_DUCKDB))}, array<>, map<>, struct<>")
    return _DUCKDB[kind]


def to_arrow(hive: str) -> pa.DataType:
    """The Arrow type of a Hive type; timestamps are microseconds without a zone."""
    kind = hive.strip().lower()
    if kind.startswith("array<"):
        return pa.list_(to_arrow(kind[len("array<") : -1]))
    if kind.startswith("map<"):
        key, value = parameters(kind[len("map<") : -1])
        return pa.map_(to_arrow(key), to_arrow(value))
    if kind.startswith("struct<"):
        return pa.struct([(name, to_arrow(part)) for name, part in struct_fields(kind)])
    if kind.startswith("decimal"):
        return pa.decimal128(*decimal_size(kind))
    return _ARROW[kind]


def decimal_size(hive: str) -> tuple[int, int]:
    """Precision and scale of ``decimal(p,s)``; those of a bare ``decimal`` are 10 and 0."""
    if "(" not in hive:
        return 10, 0
    precision, scale = parameters(hive[hive.index("(") + 1 : -1])
    return int(precision), int(scale)


def to_mysql(hive: str) -> str:
    """The type a column gets online when its group names none."""
    kind = hive.strip().lower()
    if is_complex(kind):
        return "varbinary(100)"
    return _MYSQL.get(kind, kind)


def to_avro(hive: str, name: str) -> Any:
    """The Avro type of a Hive type, without null; a struct's record is called ``name``."""
    kind = hive.strip().lower()
    if kind.startswith("array<"):
        return {"type": "array", "items": ["null", to_avro(kind[len("array<") : -1], f"S_{name}")]}
    if kind.startswith("map<"):
        _, value = parameters(kind[len("map<") : -1])
        return {"type": "map", "values": ["null", to_avro(value, f"S_{name}")]}
    if kind.startswith("struct<"):
        return {
            "type": "record",
            "name": f"S_{name}",
            "fields": [
                {"name": field, "type": ["null", to_avro(part, f"{name}_{field}")]}
                for field, part in struct_fields(kind)
            ],
        }
    if kind.startswith("decimal"):
        precision, scale = decimal_size(kind)
        return {"type": "bytes", "logicalType": "decimal", "precision": precision, "scale": scale}
    return _AVRO[kind]
