"""The command that shows the statistics stored with each commit."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from btcfs.cli import console
from btcfs.cli.session import Session, pass_session
from btcfs.errors import NotFound

if TYPE_CHECKING:
    import pandas as pd

SHOWN = ("feature", "rows", "missing", "mean", "std", "min", "q05", "q50", "q95", "max")


@click.command(name="stats")
@click.option("--group", metavar="NAME", help="Feature group; by default the configured one.")
@click.option("--version", "group_version", type=int, help="Its version.")
@click.option("--commit", metavar="ID", help="Commit; by default the newest that has statistics.")
@click.option("--feature", metavar="NAME", help="One feature: with its histogram and strongest correlations.")
@click.option("--commits", is_flag=True, help="List the commits that have statistics.")
@console.json_option
@pass_session
def command(
    session: Session,
    group: str | None,
    group_version: int | None,
    commit: str | None,
    feature: str | None,
    commits: bool,
    as_json: bool,
) -> None:
    """Show count, missing, mean, deviation and quantiles of each feature in a commit."""
    rows = _rows(session, group, group_version)
    if commits:
        _show_commits(rows, as_json)
        return
    chosen = _of_commit(rows, commit)
    if feature is not None:
        chosen = chosen[chosen["feature"] == feature]
        if chosen.empty:
            raise NotFound(f"no statistics of a feature named {feature!r}; btcfs stats lists them")
    records = [_record(row) for row in chosen.to_dict("records")]
    console.show(records, as_json, lambda: _show_feature(records[0]) if feature else _show(records))


def _rows(session: Session, group: str | None, version: int | None) -> pd.DataFrame:
    from btcfs import catalogue
    from btcfs.pipeline.standard import named
    from btcfs.pipeline.statistics import STATISTICS

    config = session.config
    default = config.stated("group") or named("bitcoin_features", config.interval)
    with session.open() as store:
        found = catalogue.find_group(store.definitions(), group or default, version)
        catalogue.find_group(store.definitions(), STATISTICS.name)
        return store.read(STATISTICS, entity={"feature_group": found.title})


def _of_commit(rows: pd.DataFrame, commit: str | None) -> pd.DataFrame:
    if commit is None:
        return rows[rows["timestamp"] == rows["timestamp"].max()]
    chosen = rows[rows["commit_id"] == commit]
    if chosen.empty:
        raise NotFound(f"no statistics of commit {commit!r}; btcfs stats --commits lists those that have some")
    return chosen


def _record(row: dict[str, Any]) -> dict[str, Any]:
    for name in ("histogram", "correlations"):
        row[name] = None if row[name] is None else json.loads(row[name])
    return row


def _show(records: list[dict[str, Any]]) -> None:
    if not records:
        console.line("no statistics yet; every ingest that changes something stores some")
        return
    first = records[0]
    title = f"{first['feature_group']}, commit {first['commit_id']} at {first['timestamp']:%Y-%m-%d %H:%M:%S} UTC"
    console.table(SHOWN, [[record[name] for name in SHOWN] for record in records], title=title)


def _show_commits(rows: pd.DataFrame, as_json: bool) -> None:
    found = rows.drop_duplicates("commit_id").sort_values("timestamp")
    records = found[["commit_id", "timestamp", "rows"]].to_dict("records")
    columns = ("commit_id", "timestamp", "rows")
    console.show(records, as_json, lambda: console.table(columns, [[r[c] for c in columns] for r in records]))


def _show_feature(record: dict[str, Any]) -> None:
    console.table(("statistic", "value"), [(name, record[name]) for name in SHOWN])
    bins = record["histogram"] or []
    most = max((count for _, _, count in bins), default=1)
    console.line()
    for low, high, count in bins:
        console.line(f"{low:>14.6g} … {high:<14.6g} {'█' * max(1, round(40 * count / most))} {count:,}")
    pairs = [(name, r) for name, r in (record["correlations"] or {}).items() if r is not None]
    strongest = sorted(pairs, key=lambda pair: -abs(pair[1]))[:8]
    console.line()
    console.table(("most correlated with", "r"), strongest)
