"""The activation checks of a model bundle against the configured store and the installed indicators."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from btcfs.cli import console
from btcfs.errors import BtcfsError
from btcfs.training.gate import (
    BEATS_BASELINE,
    DATA_CHECKS,
    FEATURES_CERTIFIED,
    VIEW_STORED,
    GateCheck,
    data_checks,
    features_certified,
    recorded_checks,
    view_stored,
)

if TYPE_CHECKING:
    from btcfs.cli.session import Session
    from btcfs.indicators import Indicator
    from btcfs.pipeline.verify import Check
    from btcfs.store import FeatureStore
    from btcfs.training.bundle import Bundle

EXAMPLES = 4  # generated markets for each law of an indicator


def gate(session: Session, bundle: Bundle) -> list[GateCheck]:
    """What training recorded, and what the store and the indicators say now. Nothing raises: what cannot be checked failed."""
    live = (VIEW_STORED, FEATURES_CERTIFIED, DATA_CHECKS)
    recorded = [check for check in recorded_checks(bundle.metadata) if check.name not in live]
    if not any(check.name == BEATS_BASELINE for check in recorded):
        recorded.append(GateCheck(BEATS_BASELINE, False, "training recorded no comparison with a baseline"))
    try:
        store = session.open()
    except BtcfsError as exc:
        return [*recorded, *(GateCheck(name, False, str(exc)) for name in live)]
    with store:
        return [
            *recorded,
            _made(VIEW_STORED, lambda: view_stored(bundle.view, store.definitions())),
            _made(FEATURES_CERTIFIED, lambda: _certified(session, store, bundle)),
            _made(DATA_CHECKS, lambda: data_checks(_verified(session, store, bundle))),
        ]


def _made(name: str, check: Callable[[], GateCheck]) -> GateCheck:
    try:
        return check()
    except BtcfsError as exc:
        return GateCheck(name, False, str(exc))


def _certified(session: Session, store: FeatureStore, bundle: Bundle) -> GateCheck:
    from btcfs.testing.indicators import certify

    with console.progress("certifying indicators") as advance:

        def counted(item: Indicator) -> list[str]:
            findings = certify(item, EXAMPLES)
            advance(1)
            return findings

        return features_certified(bundle.view, store.definitions(), session.plugins.indicators(), counted)


def _verified(session: Session, store: FeatureStore, bundle: Bundle) -> list[Check]:
    from btcfs.training.activation_checks import verification

    config = session.config
    symbol = bundle.symbol or config.symbol
    checks = verification(store, bundle.view, session.plugins, symbol, config.stated("candles")).checks()
    return [check for check in checks if check.name != "view"]  # the bundle's own view has a check of its own
