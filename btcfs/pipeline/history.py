"""Stored candles, and what fetched ones change in them."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import attrs
import numpy as np
import pandas as pd

from btcfs import frames
from btcfs.definitions import TIME_KEY, FeatureGroup
from btcfs.indicators import CANDLE_COLUMNS
from btcfs.instants import from_micros
from btcfs.pipeline.candles import CandleArrays
from btcfs.pipeline.plan import step_micros
from btcfs.store import FeatureStore

Rows = tuple[datetime, datetime]  # open times, half-open


@attrs.frozen(eq=False)
class Overlay:
    """Fetched candles laid over the stored ones: all of both, the fetched winning.

    ``new`` fetched candles were not stored, ``restated`` ones were stored with other values;
    ``changed_span`` goes, in open time, from the first of both to just after the last, None if
    there is none.
    """

    candles: CandleArrays
    new: int
    restated: int
    changed_span: Rows | None


def overlay(stored: CandleArrays, fetched: CandleArrays) -> Overlay:
    """Lay fetched candles, at least one, over stored ones; values are equal if their bits are."""
    if not len(stored):
        return Overlay(fetched, len(fetched), 0, _span(fetched))
    times = np.concatenate((stored.timestamp, fetched.timestamp))
    order = np.argsort(times, kind="stable")  # of equal times, the fetched one comes last
    ordered = times[order]
    kept = order[np.append(ordered[1:] != ordered[:-1], [True] * bool(len(ordered)))]
    merged = (np.concatenate(pair)[kept] for pair in zip(stored.columns, fetched.columns, strict=True))
    candles = CandleArrays(*merged, step=fetched.step)
    changed = fetched.timestamp[_differs(stored, fetched)]
    new = int(np.isin(changed, stored.timestamp, invert=True, assume_unique=True).sum())
    span = (from_micros(changed[0]), from_micros(changed[-1] + fetched.step)) if len(changed) else None
    return Overlay(candles, new, len(changed) - new, span)


@attrs.frozen
class CandleHistory:
    """The stored candles of one symbol; none as long as their group is not applied."""

    store: FeatureStore
    group: FeatureGroup
    symbol: str

    def between(
        self, start: datetime | None = None, end: datetime | None = None, *, as_of: datetime | None = None
    ) -> CandleArrays:
        """The stored candles with ``start <= open time < end``; with ``as_of``, as they were known then."""
        assert self.group.interval is not None
        if not is_applied(self.store, self.group):
            return CandleArrays.none(self.group.interval)
        step = timedelta(microseconds=step_micros(self.group.interval))
        rows = self.store.read(
            self.group,
            None if start is None else start + step,
            None if end is None else end + step,
            entity={"symbol": self.symbol},
            columns=(TIME_KEY, *CANDLE_COLUMNS),
            as_of=as_of,
        )
        return CandleArrays.from_frame(rows, self.group.interval)

    def under(self, fetched: CandleArrays) -> Overlay:
        """Fetched candles, at least one, over all that are stored in their span."""
        first, after = _span(fetched)
        return overlay(self.between(first, after), fetched)

    def around(self, candles: CandleArrays, start: datetime, end: datetime) -> CandleArrays:
        """The candles, at least one, with those stored from ``start`` up to them and from them on up to ``end``."""
        first, after = _span(candles)
        return self.between(start, first).followed_by(candles).followed_by(self.between(after, end))

    def newest(self) -> datetime | None:
        """The open time of the newest stored candle, None if there is none."""
        return newest(self.store, self.group, self.symbol)


def is_applied(store: FeatureStore, group: FeatureGroup) -> bool:
    """Whether the store has a group of that name and version."""
    return any(isinstance(d, FeatureGroup) and d.ref == group.ref for d in store.definitions())


def newest(store: FeatureStore, group: FeatureGroup, symbol: str) -> datetime | None:
    """The open time of the newest row of a symbol, None if there is none."""
    assert group.step is not None
    if not is_applied(store, group):
        return None
    known = store.summary(group, {"symbol": symbol}).end
    return None if known is None else known - group.step


def candle_frame(candles: CandleArrays, symbol: str, group: FeatureGroup) -> pd.DataFrame:
    """Candles as rows of their group."""
    values = dict(zip(CANDLE_COLUMNS, candles.columns[1:], strict=True))
    return pd.DataFrame(
        {
            "symbol": np.full(len(candles), symbol, dtype=object),
            TIME_KEY: frames.from_micros_array(candles.timestamp),
            group.event_time: frames.from_micros_array(candles.timestamp + candles.step),
            **{name: values[name] for name in group.feature_names},
        },
        copy=False,
    )


def first_gap(candles: CandleArrays) -> datetime | None:
    """The open time of the first candle that is missing between the first and the last."""
    wide = np.flatnonzero(np.diff(candles.timestamp) > candles.step)
    return from_micros(candles.timestamp[wide[0]] + candles.step) if len(wide) else None


def joined(ranges: list[Rows]) -> list[Rows]:
    """The same open times as ascending ranges that neither overlap nor touch; empty ones are dropped."""
    out: list[Rows] = []
    for start, end in sorted(r for r in ranges if r[0] < r[1]):
        if out and start <= out[-1][1]:
            out[-1] = (out[-1][0], max(out[-1][1], end))
        else:
            out.append((start, end))
    return out


def _span(candles: CandleArrays) -> Rows:
    return from_micros(candles.timestamp[0]), from_micros(candles.timestamp[-1] + candles.step)


def _differs(stored: CandleArrays, fetched: CandleArrays) -> np.ndarray[Any, np.dtype[np.bool_]]:
    position = np.minimum(np.searchsorted(stored.timestamp, fetched.timestamp), len(stored) - 1)
    different = stored.timestamp[position] != fetched.timestamp
    for before, after in zip(stored.columns[1:], fetched.columns[1:], strict=True):
        different |= before[position].view(np.int64) != after.view(np.int64)
    return np.asarray(different)
