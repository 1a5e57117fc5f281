"""The commands that delete a group or view from a store, and show what was deleted."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from btcfs.cli import console
from btcfs.cli.models import dry_run_option
from btcfs.cli.session import Session, pass_session
from btcfs.errors import ConfigError

if TYPE_CHECKING:
    from btcfs.transfer.retiring import Retirement


@click.command()
@click.argument("name")
@click.option("--version", type=click.IntRange(min=1), help="The version to delete.")
@click.option("--all-versions", is_flag=True, help="Delete every version.")
@click.option("--view", is_flag=True, help="NAME is a feature view, not a group.")
@click.option("--force", "reason", metavar="REASON", help="Although models use it; the reason is recorded.")
@click.option(
    "--keep-days",
    type=click.IntRange(min=0),
    default=30,
    show_default=True,
    help="Days to keep the rows; 0 keeps none.",
)
@click.option(
    "--models", type=click.Path(path_type=Path), default=Path("models"), show_default=True, metavar="DIR",
    help="The models that are asked whether they use it.",
)  # fmt: skip
@dry_run_option
@click.option("--yes", is_flag=True, help="Do not ask.")
@console.json_option
@pass_session
def delete(
    session: Session, name: str, version: int | None, all_versions: bool, view: bool, reason: str | None, keep_days: int,
    models: Path, dry_run: bool, yes: bool, as_json: bool,
) -> None:  # fmt: skip
    """Delete a feature group, or a view, with all its rows and their history.

    Refused while views use it, and while models do unless forced. The rows of a group are kept in .btcfs/deleted
    for --keep-days; btcfs copy brings them back.
    """
    from btcfs import catalogue
    from btcfs.transfer.retiring import plan_retirement, retire

    if (version is None) != all_versions:
        raise ConfigError(f"say which version of {name} to delete: --version N, or --all-versions, one of the two")
    chosen: dict[str, Any] = {"all_versions": all_versions, "models_dir": models, "force_reason": reason}
    with session.open() as store:
        find = catalogue.find_view if view else catalogue.find_group
        definition = find(store.definitions(), name, version)
        plan = plan_retirement(store, definition, **chosen)
        if not (dry_run or yes):
            _ask(plan, store.name, keep_days)
        done = plan if dry_run else retire(store, definition, keep_days=keep_days, **chosen)
        value = {"backend": store.name, "dry_run": dry_run, **done.to_dict()}
    console.show(value, as_json, lambda: _show(done, value))


@click.command()
@console.json_option
@pass_session
def deleted(session: Session, as_json: bool) -> None:
    """Show what was deleted, why, and where its rows are kept."""
    from btcfs.pipeline.tombstones import tombstones

    with session.open() as store:
        found = tombstones(store)
    console.show([t.to_dict() for t in found], as_json, lambda: _show_deleted([t.to_dict() for t in found]))


def _ask(plan: Retirement, backend: str, keep_days: int) -> None:
    """Go on only after a yes. ConfigError where nobody can be asked."""
    if not sys.stdin.isatty():
        raise ConfigError(
            f"deleting {', '.join(plan.titles)} from {backend} needs --yes; --dry-run shows what would go"
        )
    kept = f", rows kept for {keep_days} days" if keep_days else ", rows NOT kept"
    click.confirm(
        f"Delete {_described(plan)} from {backend}{kept if any(plan.rows.values()) else ''}?", abort=True, err=True
    )


def _described(plan: Retirement) -> str:
    return ", ".join(f"{title} with {plan.rows[title]:,} rows" if plan.rows[title] else title for title in plan.titles)


def _show(plan: Retirement, value: dict[str, Any]) -> None:
    if plan.models:
        console.warning(f"no longer able to answer: {', '.join(plan.models)}")
    if value["dry_run"]:
        console.line(f"would delete {_described(plan)} from {value['backend']}; nothing was changed")
        return
    console.done(f"deleted {_described(plan)} from {value['backend']}")
    if plan.restore is not None:
        console.line(f"Kept until {plan.kept_until:%Y-%m-%d}; to bring it back:")
        console.line(f"btcfs copy --from {plan.restore} --to {value['backend']}")
    for gone in plan.purged:
        console.line(f"No longer kept: {gone}")


def _show_deleted(found: list[dict[str, Any]]) -> None:
    if not found:
        console.line("nothing was ever deleted from this store")
        return
    columns = ("kind", "name", "version", "deleted_at", "rows", "reason", "kept_in", "kept_until")
    console.table(columns, [[row[column] for column in columns] for row in found])
