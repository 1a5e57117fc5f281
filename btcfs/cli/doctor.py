"""The command that checks installation, settings and store, and says what to do about each thing that is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from btcfs.cli import console
from btcfs.cli.failures import CHECK_FAILED
from btcfs.cli.session import Session, pass_session

if TYPE_CHECKING:
    from btcfs.diagnosis import Diagnosis


@click.command(name="doctor")
@click.option("--models", type=click.Path(path_type=Path), default=Path("models"), show_default=True, metavar="DIR")
@console.json_option
@click.pass_context
@pass_session
def command(session: Session, ctx: click.Context, models: Path, as_json: bool) -> None:
    """Check Python, packages, settings, key, proxies, disk, backend, store, mirror, budget, model; exit 1 if a check fails."""
    from btcfs.diagnosis.whole import diagnose

    found = list(diagnose(Path.cwd(), config_path=session.config_path, chosen_backend=session.backend, models=models))
    failed = [diagnosis for diagnosis in found if diagnosis.passed is False]
    value = {"ok": not failed, "checks": [diagnosis.to_dict() for diagnosis in found]}
    console.show(value, as_json, lambda: _show(found, len(failed)))
    ctx.exit(CHECK_FAILED if failed else 0)


def _show(found: list[Diagnosis], failed: int) -> None:
    for diagnosis in found:
        remedy = f"; next: {diagnosis.remedy}" if diagnosis.remedy else ""
        shown = {True: console.done, None: console.warning, False: console.failure}[diagnosis.passed]
        shown(f"{diagnosis.name}: {diagnosis.message}{remedy}")
    if failed:
        console.failure(f"{failed} of {len(found)} checks failed")
    else:
        console.done(f"none of {len(found)} checks failed")
