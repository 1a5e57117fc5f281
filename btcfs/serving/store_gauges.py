"""What a store tells of itself beyond the protocol, as gauges: its circuits, its journal, its budget."""

from __future__ import annotations

from typing import Any

from btcfs.store import FeatureStore

Gauge = tuple[str, str, float, dict[str, str]]

_OPEN = {"closed": 0.0, "half-open": 0.5, "open": 1.0}


def store_gauges(store: FeatureStore) -> list[Gauge]:
    """Gauges of what the store offers; none for a store that offers nothing."""
    gauges: list[Gauge] = []
    circuits = getattr(store, "circuits", None)
    if circuits is not None:
        text = "Whether the primary store is not asked for this kind of call: 1 open, 0.5 half-open."
        gauges += [("btcfs_circuit_open", text, _OPEN[state], {"calls": kind}) for kind, state in circuits().items()]
    pending = getattr(store, "pending", None)
    if pending is not None:
        text = "Writes that are not on both the primary store and its mirror yet."
        gauges.append(("btcfs_journal_entries", text, len(pending()), {}))
    usage = getattr(store, "usage", None)
    if usage is not None:
        gauges += _budget(usage())
    return gauges


def _budget(usage: Any) -> list[Gauge]:
    counts = usage.counts
    return [
        ("btcfs_backend_calls", "Calls to the backend this month, of all processes.", counts.calls, {}),
        ("btcfs_backend_sent_bytes", "Bytes sent to the backend this month.", counts.sent, {}),
        ("btcfs_backend_received_bytes", "Bytes received from the backend this month.", counts.received, {}),
        ("btcfs_backend_budget_used", "The greatest part of the month's budget that is used.", usage.share, {}),
        ("btcfs_backend_budget_forecast", "The same at the month's end at this pace.", usage.forecast_share, {}),
    ]
