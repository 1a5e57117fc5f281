"""From raw candles to rows that a store takes, without changing what was given and without a store."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pandas as pd

from btcfs import __version__
from btcfs.bitcoin.legacy import renamed, with_times
from btcfs.definitions import TIME_KEY
from btcfs.errors import InsufficientHistory, SchemaError
from btcfs.instants import now as present
from btcfs.pipeline.candles import CandleArrays
from btcfs.pipeline.compute import compute
from btcfs.pipeline.plan import Plan, plan
from btcfs.plugins import Plugins, installed_plugins


def prepare_features_for_store(
    raw: pd.DataFrame,
    *,
    symbol: str = "BTC-USD",
    interval: str = "1d",
    now: datetime | None = None,
    plugins: Plugins | None = None,
) -> pd.DataFrame:
    """Every installed feature of raw candles, one row per candle, ready for ``ingest_features``.

    Columns: ``symbol``, ``timestamp`` (open time, UTC), ``event_time``, the features,
    ``ingestion_time`` and ``pipeline_version``. A value is missing where the candles before it do
    not reach back far enough. ``attrs["schema_report"]`` says what was renamed, dropped and how much
    is missing. Candles that had not closed ``now`` are dropped; of several rows of one time the last
    counts. SchemaError, as ``CandleArrays.from_frame`` says, for what are no candles.
    """
    chosen = plan((installed_plugins() if plugins is None else plugins).indicators(), interval)
    at = present() if now is None else now
    given = with_times(renamed(raw))
    closed = given[TIME_KEY] + pd.Timedelta(microseconds=chosen.step) <= at
    ordered = given[closed].drop_duplicates(TIME_KEY, keep="last").sort_values(TIME_KEY)
    rows = _computed(chosen, ordered).assign(ingestion_time=pd.Timestamp(at), pipeline_version=__version__)
    rows.insert(0, "symbol", symbol)
    rows.attrs["schema_report"] = _report(raw, given, ordered, rows, chosen)
    return rows


def compute_features_locally(
    data: pd.DataFrame, *, interval: str = "1d", plugins: Plugins | None = None
) -> pd.DataFrame:
    """The features of raw candles by the code that ingestion runs, indexed by open time, ``timestamp`` a column too.

    Only rows with every feature: InsufficientHistory if there is none, as for a single candle.
    """
    chosen = plan((installed_plugins() if plugins is None else plugins).indicators(), interval)
    given = with_times(renamed(data)).drop_duplicates(TIME_KEY, keep="last").sort_values(TIME_KEY)
    rows = _computed(chosen, given)
    complete = rows[rows[list(chosen.feature_names)].notna().all(axis=1)]
    if not len(complete):
        raise InsufficientHistory(chosen.lookback + 1, len(given))
    frame = complete[[TIME_KEY, *chosen.feature_names]]
    return frame.set_axis(pd.DatetimeIndex(frame[TIME_KEY], name=None), axis=0)


def _computed(chosen: Plan, candles: pd.DataFrame) -> pd.DataFrame:
    missing = [name for name in ("open", "high", "low", "close", "volume") if name not in candles.columns]
    if missing:
        raise SchemaError(f"the frame lacks {', '.join(missing)}; raw candles have open, high, low, close, volume")
    block = compute(chosen, CandleArrays.from_frame(candles, chosen.interval))
    frame = block.frame("", chosen.group("bitcoin_features", 1))
    return frame.drop(columns="symbol")


def _report(
    raw: pd.DataFrame, given: pd.DataFrame, used: pd.DataFrame, rows: pd.DataFrame, chosen: Plan
) -> dict[str, Any]:
    names = list(chosen.feature_names)
    renames = {str(old): new for old, new in zip(raw.columns, given.columns, strict=False) if str(old) != new}
    return {
        "rows_in": len(raw),
        "rows_out": len(rows),
        "dropped": len(given) - len(used),
        "renamed": renames,
        "columns": {name: str(rows[name].dtype) for name in rows.columns},
        "missing": {name: int(count) for name, count in rows[names].isna().sum().items() if count},
        "lookback": chosen.lookback,
    }
