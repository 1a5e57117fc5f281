"""Whether a frame of features may be ingested: rules as data, warm-up taken into account, no assert."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import attrs
import numpy as np
import pandas as pd

from btcfs.bitcoin.legacy import METADATA, renamed, with_times
from btcfs.definitions import TIME_KEY
from btcfs.errors import SchemaError
from btcfs.indicators import CANDLE_COLUMNS
from btcfs.pipeline.plan import plan
from btcfs.pipeline.validate import check
from btcfs.plugins import Plugins, installed_plugins

MISSING = "missing"  # the rule on values that are missing after the warm-up


@attrs.frozen
class Violation:
    """One broken rule: how often, and where first."""

    rule: str
    severity: Literal["error", "warning"]
    count: int
    detail: str


@attrs.frozen
class FeatureReport:
    """The verdict on a frame; true in an ``if`` when no error was found."""

    rows: int
    violations: tuple[Violation, ...]

    @property
    def ok(self) -> bool:
        return not any(v.severity == "error" for v in self.violations)

    def __bool__(self) -> bool:
        return self.ok

    def to_dict(self) -> dict[str, Any]:
        return {"ok": self.ok, **attrs.asdict(self)}


def validate_features(
    df: pd.DataFrame, *, interval: str = "1d", symbol: str | None = None, plugins: Plugins | None = None
) -> FeatureReport:
    """Check a frame of candles with features: times, prices, order, gaps, finite values, bounds, missing values.

    A value may be missing in as many first rows as its feature looks back, not later. The candle
    rules are those of ``btcfs validate``. Nothing is raised for what is wrong with the rows.
    """
    chosen = installed_plugins() if plugins is None else plugins
    try:
        frame = with_times(renamed(df))
    except SchemaError as exc:
        return FeatureReport(len(df), (Violation("timestamp", "error", 1, str(exc)),))
    found: list[Violation] = []
    if set(CANDLE_COLUMNS) <= set(frame.columns):
        found += _candle_rules(frame, interval)
    else:
        absent = [name for name in CANDLE_COLUMNS if name not in frame.columns]
        found.append(Violation("candle", "warning", 1, f"no {', '.join(absent)}: the candle rules were not applied"))
    lookbacks = _lookbacks(chosen, interval)
    for name in frame.columns:
        if name != TIME_KEY and name not in METADATA and pd.api.types.is_numeric_dtype(frame[name].dtype):
            found += _value_rules(name, frame[name].to_numpy(dtype="float64", na_value=np.nan), lookbacks.get(name))
    return FeatureReport(len(frame), tuple(sorted(found, key=lambda v: v.severity)))


def _candle_rules(frame: pd.DataFrame, interval: str) -> list[Violation]:
    try:
        report = check(frame[[TIME_KEY, *CANDLE_COLUMNS]], interval)
    except SchemaError as exc:
        return [Violation("schema", "error", 1, str(exc))]
    return [
        Violation(
            f.rule, "error" if f.severity == "error" else "warning", f.count, "; ".join(f.examples[:1]) or f.description
        )
        for f in report.findings
    ]


def _value_rules(
    name: str, values: np.ndarray[Any, Any], known: tuple[int, tuple[float, float] | None] | None
) -> list[Violation]:
    found = []
    lookback, bounds = known if known is not None else (len(values), None)
    rules: list[tuple[str, Callable[[], np.ndarray[Any, Any]], str]] = [
        ("finite", lambda: np.isinf(values), "is infinite"),
        (MISSING, lambda: np.isnan(values) & (np.arange(len(values)) >= lookback), "is missing after its warm-up"),
    ]
    if bounds is not None:
        low, high = bounds
        rules.append(("bounds", lambda: (values < low) | (values > high), f"leaves [{low:g}, {high:g}]"))
    for rule, broken, text in rules:
        mask = broken()
        if mask.any():
            found.append(Violation(rule, "error", int(mask.sum()), f"{name} {text}, first in row {int(mask.argmax())}"))
    return found


def _lookbacks(plugins: Plugins, interval: str) -> dict[str, tuple[int, tuple[float, float] | None]]:
    """Each feature's own lookback in rows, and its bounds."""
    chosen = plan(plugins.indicators(), interval)
    return {f.name: (item.lookback, f.bounds) for item in chosen.indicators for f in item.outputs}
