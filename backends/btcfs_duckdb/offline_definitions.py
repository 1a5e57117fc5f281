"""The definitions table of the offline file."""

from __future__ import annotations

import json
from typing import Any

from btcfs.definitions import Definition, FeatureGroup, definition_from_dict
from btcfs_duckdb.engine import fetched
from btcfs_duckdb.online import Stored
from btcfs_duckdb.schema import create_tables, drop_tables


def stored(connection: Any) -> list[Stored]:
    """Every definition, groups first, by name and version."""
    rows = fetched(connection, "SELECT applied, body FROM definitions ORDER BY kind, name, version")
    return [Stored(definition_from_dict(json.loads(body)), applied) for applied, body in rows]


def define(connection: Any, definition: Definition, seq: int) -> int:
    """Store a definition, and make the tables of a new group; gives the number of the change that first applied it."""
    kind, key = _kind(definition), [_kind(definition), *definition.ref]
    where = "kind = ? AND name = ? AND version = ?"
    known = fetched(connection, f"SELECT applied FROM definitions WHERE {where}", key)
    applied = int(known[0][0]) if known else seq
    connection.execute(f"DELETE FROM definitions WHERE {where}", key)
    connection.execute(
        "INSERT INTO definitions VALUES (?, ?, ?, ?, ?, ?)",
        [kind, *definition.ref, applied, definition.fingerprint, json.dumps(definition.to_dict())],
    )
    if not known and isinstance(definition, FeatureGroup):
        for statement in create_tables(definition):
            connection.execute(statement)
    return applied


def forget(connection: Any, definition: Definition) -> None:
    """Remove a definition and, of a group, its rows, their history and the record of their commits."""
    connection.execute(
        "DELETE FROM definitions WHERE kind = ? AND name = ? AND version = ?", [_kind(definition), *definition.ref]
    )
    if isinstance(definition, FeatureGroup):
        connection.execute("DELETE FROM commits WHERE grp = ? AND version = ?", list(definition.ref))
        for statement in drop_tables(definition):
            connection.execute(statement)


def _kind(definition: Definition) -> str:
    return "group" if isinstance(definition, FeatureGroup) else "view"
