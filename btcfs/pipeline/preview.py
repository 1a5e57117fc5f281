"""What a write would do, found by reading alone."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd

from btcfs.definitions import TIME_KEY, FeatureGroup
from btcfs.frames import micros
from btcfs.pipeline.history import is_applied
from btcfs.store import FeatureStore, WriteReport


def preview(store: FeatureStore, group: FeatureGroup, frames: Iterable[pd.DataFrame], symbol: str) -> WriteReport:
    """The counts that writing these ascending frames of one symbol's float64 features would report; nothing is written."""
    stored = is_applied(store, group)
    inserted = updated = unchanged = 0
    for frame in frames:
        known = _known(store, group, frame, symbol) if stored else None
        if known is None or known.empty:
            inserted += len(frame)
            continue
        position = np.searchsorted(micros(known[TIME_KEY]), micros(frame[TIME_KEY]))
        position = np.minimum(position, len(known) - 1)
        there = micros(known[TIME_KEY])[position] == micros(frame[TIME_KEY])
        same = there.copy()
        for name in group.feature_names:
            before, after = known[name].to_numpy()[position], frame[name].to_numpy()
            same &= (before.view(np.int64) == after.view(np.int64)) | (np.isnan(before) & np.isnan(after))
        inserted += int((~there).sum())
        unchanged += int(same.sum())
        updated += int((there & ~same).sum())
    return WriteReport(group.name, group.version, inserted, updated, unchanged)


def _known(store: FeatureStore, group: FeatureGroup, frame: pd.DataFrame, symbol: str) -> pd.DataFrame:
    times = frame[group.event_time]
    end = times.iloc[-1].to_pydatetime() + (group.step or pd.Timedelta(microseconds=1))
    return store.read(group, times.iloc[0].to_pydatetime(), end, entity={"symbol": symbol})
