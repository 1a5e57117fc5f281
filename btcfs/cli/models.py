"""The commands that show the trained models, and that decide which one answers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from btcfs.cli import console
from btcfs.cli.failures import CHECK_FAILED
from btcfs.cli.session import Session, pass_session

if TYPE_CHECKING:
    from btcfs.training.gate import GateCheck
    from btcfs.training.registry import Registry

SHOWN_LEVELS = 2

models_option = click.option(
    "--models",
    "folder",
    metavar="DIR",
    default="models",
    show_default=True,
    type=click.Path(path_type=Path),
    help="Folder of the model versions.",
)
dry_run_option = click.option("--dry-run", is_flag=True, help="Check and show, change nothing.")


@click.group(name="models")
def command() -> None:
    """Show the trained models; choose the one that answers."""


@command.command(name="list")
@models_option
@console.json_option
def list_versions(folder: Path, as_json: bool) -> None:
    """Show every version, the newest first, and which one is active."""
    versions = [version.to_dict() for version in _registry(folder).versions()]
    console.show({"models": folder, "versions": versions}, as_json, lambda: _show_list(folder, versions))


@command.command()
@click.argument("version")
@models_option
@console.json_option
def show(version: str, folder: Path, as_json: bool) -> None:
    """Show what is known of a version: view, label, metrics, parity, libraries, activations."""
    value = _registry(folder).show(version)
    console.show(value, as_json, lambda: _show_version(value))


@command.command()
@click.argument("version")
@click.option("--force", "reason", metavar="REASON", help="Activate whatever the checks say; the reason is recorded.")
@dry_run_option
@models_option
@console.json_option
@click.pass_context
@pass_session
def activate(
    session: Session, ctx: click.Context, version: str, reason: str | None, dry_run: bool, folder: Path, as_json: bool
) -> None:
    """Make a version the active one, if it beats its baseline, its features are certified and the data are sound.

    Exit 1 if a check failed: the version then stays a candidate.
    """
    from btcfs.cli.models_gate import gate
    from btcfs.training.gate import obstacles

    registry = _registry(folder)
    bundle = registry.load(version)
    checks = gate(session, bundle)
    open_gate = not obstacles(checks)
    activated = (open_gate or reason is not None) and not dry_run
    if activated:
        registry.activate(version, checks=checks, force_reason=reason)
    value = {
        "version": version,
        "activated": activated,
        "checks": [check.to_dict() for check in checks],
        "obstacles": [check.name for check in obstacles(checks)],
        "forced": reason if activated and not open_gate else None,
        "dry_run": dry_run,
    }
    console.show(value, as_json, lambda: _show_activation(value, checks))
    if not open_gate and reason is None:
        ctx.exit(CHECK_FAILED)


@command.command()
@dry_run_option
@models_option
@console.json_option
def rollback(dry_run: bool, folder: Path, as_json: bool) -> None:
    """Make the version active again that was active before."""
    registry = _registry(folder)
    before, target = registry.active_version(), registry.rollback_target()
    if not dry_run:
        registry.rollback()
    value = {"from": before, "to": target, "dry_run": dry_run}
    verb = "would go back" if dry_run else "went back"
    console.show(value, as_json, lambda: console.done(f"{verb} from {before} to {target}"))


def _registry(folder: Path) -> Registry:
    from btcfs.training.registry import Registry

    return Registry(folder)


def _show_list(folder: Path, versions: list[dict[str, Any]]) -> None:
    if not versions:
        console.line(f"no model in {folder} yet; btcfs train makes the first")
        return
    rows = [
        (v["version"], v["status"], v["created"][:19], " + ".join(v["models"].values()), v["forced"] or "")
        for v in versions
    ]
    console.table(("version", "status", "created (UTC)", "models", "forced because"), rows)


def _show_version(value: dict[str, Any]) -> None:
    view, label = value["view"], value["label"]
    console.line(f"{value['version']}: {value['status']}, created {value['created']}")
    console.line(f"digest {value['digest']}")
    console.line(f"view {view['name']} v{view['version']}, {len(value['features'])} features")
    ahead = "1 candle" if label["horizon"] == 1 else f"{label['horizon']} candles"
    console.line(f"label {label['kind']} of {label['column']} over {ahead}")
    for task, spec in value["models"].items():
        equal = value["parity"][task]
        console.line(
            f"{task}: {spec['form']}, equal to its estimator on {equal['rows']:,} rows to {equal['max_difference']:.1e}"
        )
    for title in ("metadata", "metrics"):
        console.table((title, "value"), _flat(value[title]))
    console.line("libraries " + ", ".join(f"{name} {number}" for name, number in value["libraries"].items()))
    for activation in value["activations"]:
        forced = f", forced: {activation['force_reason']}" if activation["force_reason"] else ""
        console.line(f"{activation['action']} at {activation['at']}{forced}")


def _flat(value: Any, path: tuple[str, ...] = ()) -> list[tuple[str, Any]]:
    """The single values in a nested mapping, by their dotted names; what is long or deep is left to --json."""
    if isinstance(value, dict) and len(path) < SHOWN_LEVELS:
        return [pair for key, item in value.items() for pair in _flat(item, (*path, key))]
    name = ".".join(path)
    if isinstance(value, dict) or (isinstance(value, list) and not _short(value)):
        return [(name, f"{len(value)} values, see --json")]
    return [(name, value)]


def _short(values: list[Any]) -> bool:
    return len(values) <= 5 and not any(isinstance(item, (dict, list)) for item in values)


def _show_activation(value: dict[str, Any], checks: list[GateCheck]) -> None:
    for check in checks:
        (console.done if check.passed else console.failure)(f"{check.name}: {check.detail}")
    version = value["version"]
    if value["activated"]:
        console.done(f"{version} is active" + (f", forced: {value['forced']}" if value["forced"] else ""))
    elif not value["obstacles"]:
        console.line(f"{version} would become active; nothing was changed")
    elif value["dry_run"]:
        console.line(f"{version} would stay a candidate without --force; nothing was changed")
    else:
        console.failure(f'{version} stays a candidate; to activate it all the same, add --force "the reason"')
