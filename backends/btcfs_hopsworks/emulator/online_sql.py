"""The MySQL text of an online query and of the prepared statements that look up vectors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from btcfs_hopsworks.emulator.metadata import Group, Project
from btcfs_hopsworks.emulator.queries import Part, Plan
from btcfs_hopsworks.emulator.sql_text import MYSQL, logic

JOINS = {"INNER": "INNER JOIN", "LEFT": "LEFT JOIN", "RIGHT": "RIGHT JOIN"}


def online_sql(plan: Plan) -> str:
    """One SELECT over the online tables, which have one row for each primary key: no point in time."""
    columns = [
        f"{MYSQL.column(part.alias, column.feature)} AS {MYSQL.name(column.output)}"
        for part in plan.parts
        for column in part.columns
    ]
    first = plan.parts[0]
    joins = [_join(plan, part) for part in plan.parts[1:]]
    filters = [logic(MYSQL, plan, plan.filter), *(logic(MYSQL, plan, part.filter) for part in plan.parts[1:])]
    kept = " AND ".join(f"({condition})" for condition in filters if condition)
    return " ".join(
        [
            f"SELECT {', '.join(columns)} FROM {table(plan.project, first.group)} AS {first.alias}",
            *joins,
            *([f"WHERE {kept}"] if kept else []),
            *([f"LIMIT {plan.limit}"] if plan.limit is not None else []),
        ]
    )


def _join(plan: Plan, part: Part) -> str:
    assert part.link is not None
    link = part.link
    keys = " AND ".join(f"{MYSQL.column(link.left_alias, a)} = {MYSQL.column(part.alias, b)}" for a, b in link.pairs)
    return f"{JOINS.get(link.kind, 'LEFT JOIN')} {table(plan.project, part.group)} AS {part.alias} ON {keys}"


def table(project: Project, group: Group) -> str:
    return f"{MYSQL.name(project.online_database)}.{MYSQL.name(group.table)}"


def lookup_sql(project: Project, group: Group, columns: Mapping[str, str], keys: Sequence[str], *, batch: bool) -> str:
    """A statement with ``?`` for each key, or one ``IN ?`` for a batch of keys; ``columns`` are named as their values."""
    chosen = ", ".join(
        MYSQL.name(name) if name == output else f"{MYSQL.name(name)} AS {MYSQL.name(output)}"
        for name, output in columns.items()
    )
    if not batch:
        asked = " AND ".join(f"{MYSQL.name(key)} = ?" for key in keys)
    elif len(keys) == 1:
        asked = f"{MYSQL.name(keys[0])} IN ?"
    else:
        asked = f"({', '.join(MYSQL.name(key) for key in keys)}) IN ?"
    return f"SELECT {chosen} FROM {table(project, group)} WHERE {asked}"
