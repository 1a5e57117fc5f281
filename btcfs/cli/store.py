"""The commands that show what a store holds or its shadow counted, rebuild its online table, and complete its mirror."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from btcfs.cli import console
from btcfs.cli.failures import CHECK_FAILED, UNAVAILABLE
from btcfs.cli.session import Session, pass_session
from btcfs.cli.store_delete import delete, deleted
from btcfs.errors import NotFound, SchemaError, Unsupported

if TYPE_CHECKING:
    from btcfs.store import FeatureStore


@click.group(name="store")
def command() -> None:
    """Show what a store holds or its shadow counted; delete from it; rebuild its online table; bring it and its mirror into step."""


command.add_command(delete)
command.add_command(deleted)


@command.command()
@console.json_option
@pass_session
def info(session: Session, as_json: bool) -> None:
    """Show the store's capabilities, its groups with rows and range, and its views."""
    with session.open() as store:
        value = _described(store)
    console.show(value, as_json, lambda: _show(value))


@command.command(name="rebuild-online")
@console.json_option
@pass_session
def rebuild_online(session: Session, as_json: bool) -> None:
    """Make the online table anew from the offline one."""
    with session.open() as store:
        # Not in the protocol: only a backend that keeps two copies has something to rebuild.
        rebuild = getattr(store, "rebuild_online", None)
        if rebuild is None:
            raise Unsupported(f"backend {store.name!r} keeps no online table that could be rebuilt from another one")
        result = rebuild()
        value = {"backend": store.name, "result": result}
    console.show(value, as_json, lambda: console.done(f"rebuilt the online table of {value['backend']}"))


@command.command()
@click.option("--dry-run", is_flag=True, help="Show what waits; change nothing.")
@click.option("--again", is_flag=True, help="Try what was refused once more, under a new commit.")
@console.json_option
@click.pass_context
@pass_session
def sync(session: Session, ctx: click.Context, dry_run: bool, again: bool, as_json: bool) -> None:
    """Complete the writes that reached only one of a store and its mirror; exit 4 while some wait, 1 if some are refused."""
    from btcfs.fallback import FallbackStore

    with session.open() as store:
        if not isinstance(store, FallbackStore):
            raise Unsupported('the configured store has no mirror; the setting fallback = "duckdb" gives it one')
        if dry_run:
            value: dict[str, Any] = {"dry_run": True, "entries": [entry.to_dict() for entry in store.pending()]}
            console.show(value, as_json, lambda: _show_entries(value["entries"]))
            return
        value = store.sync(again=again).to_dict()
    console.show(value, as_json, lambda: _show_sync(value))
    ctx.exit(UNAVAILABLE if value["waiting"] else CHECK_FAILED if value["refused"] else 0)


def _show_sync(value: dict[str, Any]) -> None:
    console.done(f"completed {len(value['completed'])} entries")
    for reason in value["reasons"]:
        console.failure(f"{len(value['waiting'])} entries wait: {reason}")
    if value["refused"]:
        console.failure(f"{len(value['refused'])} entries are refused; btcfs store sync --again tries them once more")
        _show_entries(value["refused"])


def _show_entries(entries: list[dict[str, Any]]) -> None:
    if not entries:
        console.done("the journal is empty: both stores have everything")
        return
    columns = ("number", "state", "kind", "definition", "rows", "began", "why")
    console.table(columns, [[entry[c] for c in columns] for entry in entries])


@command.command()
@click.argument("report", type=click.Path(path_type=Path))
@console.json_option
@click.pass_context
def shadow(ctx: click.Context, report: Path, as_json: bool) -> None:
    """Show what the shadow of a serving store counted, from the file that btcfs serve --shadow-report writes.

    Exit 1 if it found a disagreement, a missing key or a failure, or compared nothing.
    """
    value = _counted(report)
    console.show(value, as_json, lambda: _show_shadow(value))
    if not value["agrees"]:
        ctx.exit(CHECK_FAILED)


def _counted(report: Path) -> dict[str, Any]:
    import json

    try:
        value: dict[str, Any] = json.loads(report.read_text(encoding="utf-8"))
        value["agrees"], value["features"], value["reads"]
    except FileNotFoundError as exc:
        raise NotFound(
            f"there is no report {report}; btcfs serve --shadow PLACE --shadow-report FILE writes one"
        ) from exc
    except (OSError, ValueError, KeyError, TypeError) as exc:
        raise SchemaError(f"{report} is not the report of a shadow: {exc}") from exc
    return value


def _show_shadow(value: dict[str, Any]) -> None:
    console.line(f"{value['primary']} answers, {value['shadow']} is its shadow; {value['since']} to {value['until']}")
    reads = ", ".join(f"{count:,} {kind}" for kind, count in sorted(value["reads"].items()))
    console.line(f"reads: {reads or 'none'}")
    wrong = [f for f in value["features"] if f["disagreed"]]
    if wrong:
        columns = ("where", "feature", "compared", "disagreed", "largest")
        rows = [(*(f[c] for c in columns), json_line(f["examples"][:1])) for f in wrong]
        console.table((*columns, "first"), rows)
    for kind, examples in value["examples"].items():
        console.line(f"{kind}, for example {json_line(examples[0])}")
    if value["agrees"]:
        console.done("no disagreement")
    else:
        console.failure("the stores disagree, or nothing was compared")


def json_line(value: Any) -> str:
    """A value as one line of JSON."""
    import json

    return json.dumps(value, default=str)


def _described(store: FeatureStore) -> dict[str, Any]:
    from btcfs.definitions import FeatureGroup
    from btcfs.store import Capability

    definitions = store.definitions()
    return {
        "backend": store.name,
        "capabilities": [capability.value for capability in Capability if capability in store.capabilities],
        "groups": [_group(store, d) for d in definitions if isinstance(d, FeatureGroup)],
        "views": [
            {"name": d.name, "version": d.version, "features": len(d.features), "groups": [list(r) for r in d.groups]}
            for d in definitions
            if not isinstance(d, FeatureGroup)
        ],
    }


def _group(store: FeatureStore, group: Any) -> dict[str, Any]:
    summary = store.summary(group)
    return {
        "name": group.name,
        "version": group.version,
        "interval": group.interval,
        "features": len(group.features),
        "rows": summary.rows,
        "start": summary.start,
        "end": summary.end,
    }


def _show(value: dict[str, Any]) -> None:
    console.line(f"backend {value['backend']}: {', '.join(value['capabilities'])}")
    columns = ("name", "version", "interval", "features", "rows", "start", "end")
    if value["groups"]:
        console.table(columns, [[row[c] for c in columns] for row in value["groups"]], title="groups")
    else:
        console.line("no feature group yet; btcfs ingest historical writes the first")
    if value["views"]:
        views = [
            (v["name"], v["version"], v["features"], [f"{n} v{k}" for n, k in v["groups"]]) for v in value["views"]
        ]
        console.table(("name", "version", "features", "groups"), views, title="views")
