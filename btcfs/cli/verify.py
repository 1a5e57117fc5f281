"""The command that checks, without changing anything, that a store holds what it should."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from btcfs.cli import console
from btcfs.cli.failures import CHECK_FAILED
from btcfs.cli.session import Session, pass_session

if TYPE_CHECKING:
    from btcfs.pipeline.verify import Check


@click.command(name="verify")
@click.option("--symbol", metavar="NAME", help="Market, such as BTC-USD.")
@click.option("--interval", metavar="1d|1h|1m", help="Length of one candle.")
@console.json_option
@click.pass_context
@pass_session
def command(session: Session, ctx: click.Context, symbol: str | None, interval: str | None, as_json: bool) -> None:
    """Check groups, views, rows, gaps, freshness, recomputation and online parity; exit 1 if a check failed."""
    checks = _checks(session, symbol, interval)
    failed = any(check.status == "failed" for check in checks)
    value = {"ok": not failed, "checks": [check.to_dict() for check in checks]}
    console.show(value, as_json, lambda: _show(checks, failed))
    ctx.exit(CHECK_FAILED if failed else 0)


def _checks(session: Session, symbol: str | None, interval: str | None) -> list[Check]:
    from btcfs.instants import now
    from btcfs.pipeline.configured import configured_ingest
    from btcfs.pipeline.verify import Verification

    config = session.configure(symbol=symbol, interval=interval)
    with session.open(config) as store:
        ingest = configured_ingest(store, config, session.plugins)
        verification = Verification(store, ingest.plan, ingest.feature_group, ingest.candle_group, config.symbol, now())
        return list(verification.checks())


def _show(checks: list[Check], failed: bool) -> None:
    for check in checks:
        remedy = f"; next: {check.remedy}" if check.remedy else ""
        shown = {"ok": console.done, "warning": console.warning, "failed": console.failure}[check.status]
        shown(check.message + remedy)
    if failed:
        console.failure("FEATURE STORE VERIFICATION FAILED")
    else:
        console.done("FEATURE STORE VERIFICATION COMPLETE")
