"""The command that copies one store into another."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from btcfs.cli import console
from btcfs.cli.session import Session, pass_session
from btcfs.errors import ConfigError

if TYPE_CHECKING:
    from btcfs.transfer.copying import CopyReport
    from btcfs.transfer.models import ModelsCopy
    from btcfs.transfer.plan import CopyPlan


@click.command(name="copy")
@click.option("--from", "source", metavar="PLACE", help="BACKEND, BACKEND:PATH or FILE.toml; default: as configured.")
@click.option("--to", "target", metavar="PLACE", help="Where to; without it only --models are copied.")
@click.option("--from-option", multiple=True, metavar="NAME=VALUE", help="Option of the backend copied from.")
@click.option("--to-option", multiple=True, metavar="NAME=VALUE", help="Option of the backend copied to.")
@click.option("--group", "groups", multiple=True, metavar="NAME[:VERSION]", help="Only this group and views over it.")
@click.option("--models", type=click.Path(path_type=Path), metavar="DIR", help="Copy this models folder too …")
@click.option("--models-to", type=click.Path(path_type=Path), metavar="DIR", help="… to this one.")
@click.option("--journal", type=click.Path(path_type=Path), metavar="FILE", help="Where the progress is kept.")
@click.option("--dry-run", is_flag=True, help="Say what would be copied; write nothing.")
@console.json_option
@pass_session
def command(
    session: Session, source: str | None, target: str | None, from_option: tuple[str, ...], to_option: tuple[str, ...],
    groups: tuple[str, ...], models: Path | None, models_to: Path | None, journal: Path | None, dry_run: bool,
    as_json: bool,
) -> None:  # fmt: skip
    """Copy definitions and every version of every row, with its knowledge time, from one store to another.

    What is written is compared with what was read, by a hash for each group, feature and day. Stopped at any
    moment, the same command goes on where it was; run again later, it copies what is new.
    """
    from btcfs.transfer.models import copy_models

    if (models is None) != (models_to is None):
        raise ConfigError("models are copied from one folder to another: give both --models and --models-to")
    if target is None and models is None:
        raise ConfigError("nothing to copy to; give --to PLACE, such as --to duckdb:/data/copy")
    value: dict[str, Any] = {"dry_run": dry_run}
    if target is not None:
        places = (source or session.config.backend, from_option), (target, to_option)
        value["store"] = _copied(session, places, groups, journal, dry_run, as_json)
    if models is not None and models_to is not None:
        value["models"] = copy_models(models, models_to, dry_run=dry_run)
        if not as_json:
            _show_models(value["models"], dry_run)
    if as_json:
        console.show_json(value)


def _copied(
    session: Session, places: tuple[tuple[str, tuple[str, ...]], tuple[str, tuple[str, ...]]], groups: tuple[str, ...],
    journal: Path | None, dry_run: bool, quiet: bool,
) -> CopyPlan | CopyReport:  # fmt: skip
    from btcfs.transfer.copying import copy_store, plan_copy
    from btcfs.transfer.places import apart, place, refuse_missing

    one, other = (place(text, options, config=session.config) for text, options in places)
    apart(one, other)
    refuse_missing(one)
    names = one.title, other.title
    path = _journal(*names, groups) if journal is None else journal
    with one.open() as source, other.open() as target:
        if not quiet:
            console.line(f"from  {one.title}")
            console.line(f"to    {other.title}")
        if dry_run:
            plan = plan_copy(source, target, groups, journal=path, names=names)
            if not quiet:
                show_plan(plan)
            return plan
        bar: list[Any] = []

        def begun(plan: CopyPlan) -> None:
            for note in plan.notes:
                console.warning(note)
            total = _total(plan)
            bar.append(console.progress("rows", total, hidden=quiet or total == 0))
            bar.append(bar[0].__enter__())

        try:
            report = copy_store(
                source, target, groups, journal=path, names=names, begun=begun, progress=lambda rows: bar[1](rows)
            )
        finally:
            if bar:
                bar[0].__exit__(None, None, None)
        if not quiet:
            _show_report(report, path)
        return report


def _journal(source: str, target: str, groups: tuple[str, ...]) -> Path:
    """The default journal: one for each pair of stores and choice of groups, in the working folder."""
    name = hashlib.sha256("\0".join([source, target, *sorted(groups)]).encode()).hexdigest()[:12]
    return Path(f".btcfs-copy-{name}.journal")


def _total(plan: CopyPlan) -> int | None:
    counts = [group.to_write for group in plan.groups]
    return None if None in counts else sum(count or 0 for count in counts)


def show_plan(plan: CopyPlan) -> None:
    """What a copy would do, as a table."""
    what = "every version of every row" if plan.history else "the newest rows WITHOUT their knowledge time"
    console.line(f"would copy {what}")
    rows = [
        (g.group.title, g.rows, g.to_write, f"{g.bytes / 1e6:,.1f} MB", None if g.commits is None else len(g.commits),
         len(g.standing.done), g.writes)
        for g in plan.groups
    ]  # fmt: skip
    console.table(("group", "rows", "to write", "size", "commits", "done", "writes"), rows)
    if plan.calls:
        console.line(f"calls to {plan.target}: {', '.join(f'{count:,} {kind}' for kind, count in plan.calls.items())}")
    if plan.definitions:
        console.line(f"definitions to apply: {', '.join(definition.title for definition in plan.definitions)}")
    for note in plan.notes:
        console.warning(note)


def _show_report(report: CopyReport, journal: Path) -> None:
    console.table(
        ("group", "commits", "rows", "hashes equal", "there already", "followed"),
        [(f"{g.name} v{g.version}", g.commits, g.rows, g.hashes, g.skipped, g.followed) for g in report.groups],
    )
    for note in report.notes[len(report.plan.notes) :]:
        console.warning(note)
    kept = "with every version and its knowledge time" if report.plan.history else "newest state only"
    console.done(f"copied {report.rows:,} rows, {kept}" if report.rows else "every row was there already")
    console.line(f"Journal: {journal}")


def _show_models(copy: ModelsCopy, dry_run: bool) -> None:
    verb = "would copy" if dry_run else "copied"
    console.done(
        f"{verb} {len(copy.versions)} model versions and {len(copy.training_sets)} training sets "
        f"({copy.bytes / 1e6:,.1f} MB); {copy.present} were there already; active: {copy.active or 'none'}"
    )
