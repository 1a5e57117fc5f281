"""How a feature group is doing: how many rows, how much is missing, and whether values drift."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import attrs
import numpy as np
import pandas as pd

from btcfs.definitions import FeatureGroup

RECENT_ROWS = 60
LEAST_REFERENCE = 120
BINS = 10
THRESHOLDS = (0.1, 0.25)
METHOD = "population stability index over deciles of the reference rows"


@attrs.frozen
class MonitoringReport(Mapping[str, Any]):
    """A report whose fields can be read by name in brackets too.

    ``missing_pct`` is in percent of all values; ``drift_status`` is ``stable``, ``moderate``,
    ``drifted`` or ``unknown`` (too few rows), by the median index of the features: below 0.1, below
    0.25, or above. ``features`` has each feature's index; levels such as prices drift by nature.
    """

    total_records: int
    missing_pct: float
    drift_status: str
    window: tuple[str, str] | None
    reference: tuple[str, str] | None
    method: str = METHOD
    thresholds: tuple[float, float] = THRESHOLDS
    features: Mapping[str, float] = attrs.field(factory=dict)

    def __getitem__(self, name: str) -> Any:
        if name not in self:
            raise KeyError(name)
        return getattr(self, name)

    def __iter__(self) -> Iterator[str]:
        return iter(field.name for field in attrs.fields(MonitoringReport))

    def __len__(self) -> int:
        return len(attrs.fields(MonitoringReport))

    def __contains__(self, name: object) -> bool:
        return name in set(iter(self))


def monitored(group: FeatureGroup, rows: pd.DataFrame) -> MonitoringReport:
    """The report on a group's rows: the newest 60 by event time against all before them."""
    names = [feature.name for feature in group.features if feature.numeric]
    ordered = rows.sort_values(group.event_time, kind="stable")
    values = ordered[names].to_numpy(dtype="float64", na_value=np.nan)
    missing = float(np.isnan(values).mean() * 100) if values.size else 0.0
    if len(rows) < LEAST_REFERENCE + RECENT_ROWS:
        return MonitoringReport(len(rows), missing, "unknown", None, None)
    before, recent = values[:-RECENT_ROWS], values[-RECENT_ROWS:]
    indices = {name: stability_index(before[:, i], recent[:, i]) for i, name in enumerate(names)}
    median = float(np.median(list(indices.values())))
    low, high = THRESHOLDS
    status = "stable" if median < low else "moderate" if median < high else "drifted"
    times = ordered[group.event_time]
    spans = [
        (s.iloc[0].isoformat(), s.iloc[-1].isoformat()) for s in (times.iloc[-RECENT_ROWS:], times.iloc[:-RECENT_ROWS])
    ]
    return MonitoringReport(len(rows), missing, status, spans[0], spans[1], features=indices)


def stability_index(reference: np.ndarray[Any, Any], recent: np.ndarray[Any, Any]) -> float:
    """The population stability index of recent values against reference ones, over the reference's deciles.

    0 if either has no value. Source: Siddiqi (2006), Credit Risk Scorecards, chapter 9.
    """
    reference, recent = reference[~np.isnan(reference)], recent[~np.isnan(recent)]
    if not len(reference) or not len(recent):
        return 0.0
    edges = np.unique(np.quantile(reference, np.linspace(0, 1, BINS + 1)[1:-1]))
    shares = []
    for part in (reference, recent):
        counts = np.bincount(np.searchsorted(edges, part, side="right"), minlength=len(edges) + 1)
        shares.append((counts + 0.5) / (counts.sum() + 0.5 * len(counts)))
    expected, actual = shares
    return float(((actual - expected) * np.log(actual / expected)).sum())
