"""The commands that show what a store holds and that rebuild its online table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from btcfs.cli import console
from btcfs.cli.session import Session, pass_session
from btcfs.errors import Unsupported

if TYPE_CHECKING:
    from btcfs.store import FeatureStore


@click.group(name="store")
def command() -> None:
    """Show what a store holds; rebuild its online table."""


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
