"""Names, values and conditions of a query as SQL text, for DuckDB and for MySQL."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import attrs

from btcfs_hopsworks.emulator.metadata import Feature
from btcfs_hopsworks.emulator.queries import Part, Plan, QueryRefused

OPERATORS = {
    "GREATER_THAN_OR_EQUAL": ">=",
    "GREATER_THAN": ">",
    "LESS_THAN_OR_EQUAL": "<=",
    "LESS_THAN": "<",
    "EQUALS": "=",
    "NOT_EQUALS": "<>",
    "LIKE": "LIKE",
}
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*([eE][+-]?\d+)?|\.\d+)")


@attrs.frozen
class Dialect:
    """How one database writes names and instants."""

    quote: str
    duckdb: bool

    def name(self, name: str) -> str:
        return f"{self.quote}{name.replace(self.quote, self.quote * 2)}{self.quote}"

    def column(self, alias: str, name: str) -> str:
        return f"{alias}.{self.name(name)}"

    def instant(self, value: str) -> str:
        """An instant given as text or as epoch milliseconds."""
        if value.lstrip("-").isdigit():
            return f"make_timestamp({int(value)} * 1000)" if self.duckdb else f"FROM_UNIXTIME({int(value)} / 1000)"
        return f"TIMESTAMP {self.text(value)}" if self.duckdb else self.text(value)

    def truth(self, value: bool) -> str:
        return str(value).upper() if self.duckdb else str(int(value))

    def text(self, value: str) -> str:
        """A text between quotes; a backslash escapes in MySQL, and is itself in DuckDB."""
        escaped = value if self.duckdb else value.replace("\\", "\\\\")
        return "'" + escaped.replace("'", "''") + "'"


DUCKDB = Dialect('"', True)
MYSQL = Dialect("`", False)


def literal(dialect: Dialect, feature: Feature, value: Any) -> str:
    """A filter's value, which clients send as text. QueryRefused if it is not of the feature's type."""
    given, kind = str(value), feature.type.lower()
    if kind == "timestamp":
        return dialect.instant(given)
    if kind == "boolean":
        return dialect.truth(given.lower() in ("true", "1"))
    if kind in ("string", "date", "binary"):
        return f"DATE {dialect.text(given)}" if kind == "date" and dialect.duckdb else dialect.text(given)
    if not _NUMBER.fullmatch(given):
        raise QueryRefused(270144, f"filter on {feature.name}: {given!r} is not a value of type {feature.type}")
    return given


def condition(dialect: Dialect, plan: Plan, given: Mapping[str, Any], *, only: Part | None = None) -> str:
    """One filter; its feature is looked up by group number among the parts."""
    described = given["feature"]
    part, feature = _found(plan, described, only)
    column = dialect.column(part.alias, feature.name) if only is None else dialect.name(feature.name)
    operator = str(given["condition"]).upper()
    if operator == "IN":
        values = json.loads(given["value"]) if isinstance(given["value"], str) else given["value"]
        return f"{column} IN ({', '.join(literal(dialect, feature, v) for v in values)})" if values else "1 = 0"
    if operator not in OPERATORS:
        raise QueryRefused(270144, f"no filter condition named {operator}; there are IN, {', '.join(OPERATORS)}")
    if given["value"] is None:
        return f"{column} IS {'NOT ' if operator == 'NOT_EQUALS' else ''}NULL"
    return f"{column} {OPERATORS[operator]} {literal(dialect, feature, given['value'])}"


def _found(plan: Plan, described: Mapping[str, Any], only: Part | None) -> tuple[Part, Feature]:
    wanted = described.get("featureGroupId")
    for part in (only,) if only is not None else plan.parts:
        if wanted in (None, part.group.id):
            for feature in part.group.features:
                if feature.name == described["name"]:
                    return part, feature
    raise QueryRefused(270093, f"filter on {described['name']!r}: no such feature in the query")


def logic(dialect: Dialect, plan: Plan, given: Mapping[str, Any] | None, *, only: Part | None = None) -> str | None:
    """A tree of filters as one condition; None if there are none."""
    if not given:
        return None
    sides = [
        *(condition(dialect, plan, given[k], only=only) for k in ("leftFilter", "rightFilter") if given.get(k)),
        *(logic(dialect, plan, given[k], only=only) for k in ("leftLogic", "rightLogic") if given.get(k)),
    ]
    joined = f" {'OR' if given.get('type') == 'OR' else 'AND'} ".join(f"({side})" for side in sides if side)
    return joined or None
