"""A frame of features into a group, as the guide's ``ingest_features`` does it."""

from __future__ import annotations

from typing import Any

import pandas as pd

from btcfs import frames
from btcfs.bitcoin.checks import MISSING, Violation, validate_features
from btcfs.bitcoin.handles import CommitReport, GroupHandle
from btcfs.bitcoin.legacy import METADATA, renamed, with_times
from btcfs.definitions import TIME_KEY, Feature, FeatureGroup
from btcfs.errors import ConfigError, SchemaError
from btcfs.indicators import CANDLE_COLUMNS
from btcfs.pipeline.candles import CandleArrays
from btcfs.pipeline.commit import commit
from btcfs.pipeline.history import candle_frame
from btcfs.pipeline.plan import Plan
from btcfs.pipeline.standard import candle_group
from btcfs.pipeline.tombstones import refuse_reuse
from btcfs.plugins import Plugins
from btcfs.store import FeatureStore

OPTIONS = ("wait_for_job", "wait_for_online_ingestion", "start_offline_materialization")


def ingest_frame(
    store: FeatureStore,
    df: pd.DataFrame,
    handle: GroupHandle,
    plan: Plan,
    symbol: str,
    plugins: Plugins,
    write_options: dict[str, Any] | None,
) -> CommitReport:
    """Write a frame's features, and its candles if it has them, each as one commit; the frame stays as it is.

    Of several rows of one key the last counts. A group that is not stored yet is defined by the
    frame: the standard one if the columns are its features, else one of these columns. SchemaError,
    with the store as it was, for a frame that does not fit or in which ``validate_features`` finds an
    error; a missing value alone is only told. ConfigError for an unknown option. Writes are read by
    whoever reads after this returned, so the options that make Hopsworks wait change nothing here.
    """
    unknown = [name for name in write_options or {} if name not in OPTIONS]
    if unknown:
        raise ConfigError(f"unknown write option {', '.join(unknown)}; known are {', '.join(OPTIONS)}")
    rows = with_times(renamed(df))
    if "symbol" not in rows.columns:
        rows = rows.assign(symbol=symbol)
    kept = rows.drop_duplicates(["symbol", TIME_KEY], keep="last")
    group = handle.definition or _defined(handle, kept, plan)
    extra = [name for name in kept.columns if name not in group.columns and name not in METADATA]
    lacking = [name for name in group.feature_names if name not in kept.columns]
    if extra or lacking:
        raise SchemaError(
            f"the frame does not fit {group.title}: it lacks {', '.join(lacking) or 'nothing'} and has unknown "
            f"{', '.join(map(str, extra)) or 'nothing'}; other features need another version of the group"
        )
    wanted = [name for name in group.columns if name in kept.columns and name != group.event_time]
    frame = frames.conform(group, kept[wanted].reset_index(drop=True))
    told = _checked(kept, plan, plugins)
    refuse_reuse(store, group)
    store.apply(group)
    done = commit(store, group, [frame], plugins)
    handle.definition = group
    warnings = (*told, *done.warnings, *_keep_candles(store, kept, plan, plugins))
    report = done.report
    return CommitReport(
        rows_in=len(df),
        inserted=report.inserted,
        updated=report.updated,
        unchanged=report.unchanged,
        rejected=0,
        duplicates=len(rows) - len(kept),
        commit_id=report.commit_id,
        range=None if report.start is None or report.end is None else (report.start, report.end),
        warnings=warnings,
    )


def _checked(rows: pd.DataFrame, plan: Plan, plugins: Plugins) -> tuple[str, ...]:
    """What is worth telling about the rows. SchemaError for what no store should hold."""
    told = []
    for symbol, part in rows.groupby("symbol", sort=False):
        report = validate_features(part.sort_values(TIME_KEY), interval=plan.interval, plugins=plugins)
        wrong = [v for v in report.violations if v.severity == "error" and v.rule != MISSING]
        if wrong:
            raise SchemaError(
                f"nothing of {symbol} was stored: {'; '.join(map(_said, wrong[:3]))}"
                f"{f'; and {len(wrong) - 3} more' if len(wrong) > 3 else ''}; validate_features(df) shows all of it"
            )
        told += [_said(v) for v in report.violations if v.rule != "candle"]  # of which _keep_candles tells
    return tuple(told)


def _said(violation: Violation) -> str:
    return f"{violation.rule}, {violation.count:,} time(s): {violation.detail}"


def _defined(handle: GroupHandle, rows: pd.DataFrame, plan: Plan) -> FeatureGroup:
    names = [str(n) for n in rows.columns if n not in METADATA and n != TIME_KEY]
    if set(names) == set(plan.feature_names):
        return plan.group(handle.name, handle.version, handle.description)
    known = {feature.name: feature for feature in plan.features}
    features = [known.get(name, Feature(name)) for name in names]
    return FeatureGroup(handle.name, handle.version, features, interval=plan.interval, description=handle.description)


def _keep_candles(store: FeatureStore, rows: pd.DataFrame, plan: Plan, plugins: Plugins) -> tuple[str, ...]:
    """Store the raw layer too, from which features of later candles are computed."""
    if not set(CANDLE_COLUMNS) <= set(rows.columns):
        return ("the frame has no open, high, low, close and volume, so no candles were stored beside the features",)
    raw = candle_group(plan.interval)
    store.apply(raw)
    warnings: tuple[str, ...] = ()
    for symbol, part in rows.groupby("symbol", sort=False):
        candles = CandleArrays.from_frame(part.sort_values(TIME_KEY), plan.interval)
        warnings += commit(store, raw, [candle_frame(candles, str(symbol), raw)], plugins, describe=False).warnings
    return warnings
