"""The commands that have a backend watch a stored feature: make, list and delete its own monitoring configurations."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import attrs
import click

from btcfs.cli import console
from btcfs.cli.session import Session, pass_session
from btcfs.errors import Unsupported

COLUMNS = ("name", "feature", "metric", "threshold", "window", "reference", "cron")

group_option = click.option("--group", metavar="NAME", help="Feature group; by default the configured one.")
version_option = click.option("--version", type=int, help="Its version; by default the newest.")


@click.group(name="monitor")
def command() -> None:
    """Have the backend watch a feature for shifts, where it offers that; btcfs stats shows statistics on any backend."""


@command.command()
@click.argument("feature")
@group_option
@version_option
@click.option("--name", metavar="NAME", help="Of the configuration; by default made of feature and metric.")
@click.option("--metric", default="mean", show_default=True, help="The statistic that is compared.")
@click.option("--threshold", type=float, default=0.5, show_default=True, help="A difference above it is a shift.")
@click.option("--window", default="1d", show_default=True, help="How much of the newest data, such as 1w2d3h.")
@click.option("--reference", default="1w1d", show_default=True, help="How long ago the window compared with began.")
@click.option("--cron", default="0 0 12 ? * * *", show_default=True, help="When, as a Quartz expression in UTC.")
@console.json_option
@pass_session
def create(
    session: Session, feature: str, group: str | None, version: int | None, as_json: bool, **options: Any
) -> None:
    """Compare a feature's newest data with earlier ones, on a schedule that the backend keeps."""
    with _offered(session, "create_monitoring", group, version) as (make, found):
        page = make(found, feature, **options)
    value = {"group": found.title, "feature": feature, "page": page}
    console.show(value, as_json, lambda: console.done(f"{found.title}: {feature} is monitored, see {page}"))


@command.command(name="list")
@group_option
@version_option
@console.json_option
@pass_session
def list_(session: Session, group: str | None, version: int | None, as_json: bool) -> None:
    """Show the monitoring configurations of a group."""
    with _offered(session, "monitorings", group, version) as (monitorings, found):
        records = [attrs.asdict(one) for one in monitorings(found)]
    console.show(records, as_json, lambda: _show(found.title, records))


@command.command()
@click.argument("name")
@group_option
@version_option
@console.json_option
@pass_session
def delete(session: Session, name: str, group: str | None, version: int | None, as_json: bool) -> None:
    """Remove a monitoring configuration and what it found."""
    with _offered(session, "delete_monitoring", group, version) as (remove, found):
        remove(found, name)
    value = {"group": found.title, "deleted": name}
    console.show(value, as_json, lambda: console.done(f"{found.title}: {name} is deleted"))


@contextmanager
def _offered(session: Session, method: str, group: str | None, version: int | None) -> Iterator[tuple[Any, Any]]:
    """What the open store has under that name, and the group asked for. Unsupported if the backend does not offer it."""
    from btcfs import catalogue
    from btcfs.pipeline.standard import named

    config = session.config
    with session.open() as store:
        # Not in the protocol: only a service that runs jobs of its own can monitor.
        offered = getattr(store, method, None)
        if offered is None:
            raise Unsupported(
                f"backend {store.name!r} runs no monitoring of its own; btcfs stats shows the statistics of each commit, and "
                f"btcfs --backend hopsworks monitor ... configures it in Hopsworks"
            )
        default = config.stated("group") or named("bitcoin_features", config.interval)
        yield offered, catalogue.find_group(store.definitions(), group or default, version)


def _show(title: str, records: list[dict[str, Any]]) -> None:
    if not records:
        console.line(f"{title} is not monitored; btcfs monitor create FEATURE begins it")
        return
    console.table(COLUMNS, [[record[name] for name in COLUMNS] for record in records], title=title)
