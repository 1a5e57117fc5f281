"""The DuckDB SQL of an offline query, with point-in-time joins.

The public server joins a right row by ``RANK() = 1`` over right event times not after the left one,
for each left key and event time: the latest rows, all of them if several share that time. The same
rows are found here with an ASOF join to the distinct times, and a join to the rows of that time.
"""

from __future__ import annotations

from btcfs_hopsworks.emulator.metadata import Group
from btcfs_hopsworks.emulator.queries import Part, Plan
from btcfs_hopsworks.emulator.sql_text import DUCKDB, logic

JOINS = {"INNER": "INNER JOIN", "LEFT": "LEFT JOIN", "RIGHT": "RIGHT JOIN", "FULL": "FULL JOIN", "CROSS": "CROSS JOIN"}
JOINS["OUTER"] = JOINS["FULL"]


def offline_sql(plan: Plan) -> str:
    """One SELECT; QueryRefused if a filter names no feature of the query."""
    columns = [
        f"{DUCKDB.column(part.alias, column.feature)} AS {DUCKDB.name(column.output)}"
        for part in plan.parts
        for column in part.columns
    ]
    joins = _point_in_time(plan) if plan.point_in_time else _plain(plan)
    first = plan.parts[0]
    conditions = [logic(DUCKDB, plan, plan.filter)]
    if not plan.point_in_time:
        conditions += [logic(DUCKDB, plan, part.filter) for part in plan.parts[1:]]
    kept = " AND ".join(f"({condition})" for condition in conditions if condition)
    return " ".join(
        [
            f"SELECT {', '.join(columns)} FROM {_rows(plan, first)} AS {first.alias}",
            *joins,
            *([f"WHERE {kept}"] if kept else []),
            *([f"LIMIT {plan.limit}"] if plan.limit is not None else []),
        ]
    )


def _plain(plan: Plan) -> list[str]:
    return [
        f"{_kind(part)} {_rows(plan, part)} AS {part.alias} ON {_keys(part, part.alias)}" for part in plan.parts[1:]
    ]


def _point_in_time(plan: Plan) -> list[str]:
    left = plan.parts[0]
    left_at = event_time(left.group, f"{left.alias}.")
    joins = []
    for part in plan.parts[1:]:
        assert part.link is not None
        own = logic(DUCKDB, plan, part.filter, only=part)
        rows = f"(SELECT *, {event_time(part.group)} AS __at FROM {_rows(plan, part)}{f' WHERE {own}' if own else ''})"
        keys = ", ".join(DUCKDB.name(right) for _, right in part.link.pairs)
        times, outer = f"{part.alias}_times", part.link.kind != "INNER"
        joins.append(
            f"ASOF {'LEFT ' if outer else ''}JOIN (SELECT DISTINCT {keys}, __at FROM {rows}) AS {times} "
            f"ON {_keys(part, times)} AND {left_at} >= {times}.__at"
        )
        same = " AND ".join(
            f"{part.alias}.{DUCKDB.name(right)} = {times}.{DUCKDB.name(right)}" for _, right in part.link.pairs
        )
        joins.append(
            f"{'LEFT' if outer else 'INNER'} JOIN {rows} AS {part.alias} ON {same} AND {part.alias}.__at = {times}.__at"
        )
    return joins


def _kind(part: Part) -> str:
    return JOINS.get(part.link.kind if part.link else "INNER", "INNER JOIN")


def _keys(part: Part, alias: str) -> str:
    assert part.link is not None
    return " AND ".join(
        f"{DUCKDB.column(part.link.left_alias, left)} = {DUCKDB.column(alias, right)}"
        for left, right in part.link.pairs
    )


def event_time(group: Group, before: str = "") -> str:
    """The event time as a TIMESTAMP: BIGINT event times are epoch milliseconds."""
    assert group.event_time is not None
    kind = next(f.type for f in group.features if f.name == group.event_time)
    column = f"{before}{DUCKDB.name(group.event_time)}"
    if kind == "bigint":
        return f"make_timestamp({column} * 1000)"
    return f"CAST({column} AS TIMESTAMP)"


def _rows(plan: Plan, part: Part) -> str:
    """The table of a part, or its rows as they were after a commit."""
    schema = DUCKDB.name(plan.project.featurestore)
    if not part.commits_to_ms and not part.commits_from_ms:
        return f"{schema}.{DUCKDB.name(part.group.table)}"
    keys = ", ".join(DUCKDB.name(name) for name in part.group.row_key)
    names = ", ".join(DUCKDB.name(feature.name) for feature in part.group.features)
    window = [f"_commit_ms > {int(part.commits_from_ms)}"] if part.commits_from_ms else []
    window += [f"_commit_ms <= {int(part.commits_to_ms)}"] if part.commits_to_ms else []
    return (
        f"(SELECT {names} FROM (SELECT *, row_number() OVER (PARTITION BY {keys} ORDER BY _commit_ms DESC) AS __newest "
        f"FROM {schema}.{DUCKDB.name(part.group.history_table)} WHERE {' AND '.join(window)}) "
        f"WHERE __newest = 1 AND NOT _deleted)"
    )
