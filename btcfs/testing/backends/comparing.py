"""Frames and vectors compared bit for bit, and a point-in-time join as a naive double loop."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd

from btcfs.definitions import FeatureGroup, FeatureView
from btcfs.store import Commit, FeatureStore, FeatureVector
from btcfs.transfer.digests import digest, own_digest


def assert_same(got: pd.DataFrame, expected: pd.DataFrame) -> None:
    """Equal columns, order, types, index and bits; one NaN is as good as another."""
    assert list(got.columns) == list(expected.columns)
    assert {name: str(t) for name, t in got.dtypes.items()} == {name: str(t) for name, t in expected.dtypes.items()}
    assert list(got.index) == list(expected.index)
    for name in expected.columns:
        assert bits(got[name]) == bits(expected[name]), f"column {name!r} differs"


def assert_reckoned(
    store: FeatureStore, group: FeatureGroup, commit: Commit, start: datetime | None = None, end: datetime | None = None
) -> None:
    """Hashes that a store tells of a commit's rows itself, which none has to, are those of the rows that it gives."""
    found = own_digest(store, group, commit, start, end)
    assert found is None or found.hex() == digest(group, store.changes(group, commit, start, end)).hex()


def bits(values: Any) -> list[Any]:
    """Values as something that compares exactly: -0.0 apart from 0.0, NaN equal to NaN, None apart from NaN."""
    return [_bits(value) for value in values]


def naive_join(view: FeatureView, spine: pd.DataFrame, tables: list[tuple[FeatureGroup, pd.DataFrame]]) -> pd.DataFrame:
    """The point-in-time join, each spine row compared with each row; tables are ordered by primary key."""
    leading = tables[0][0]
    out = []
    for asked in spine.to_dict("records"):
        line = [np.nan] * len(view.features)
        for group, table in tables:
            newest = None
            for row in table.to_dict("records"):
                known = row[group.event_time] <= asked[leading.event_time]
                mine = all(row[name] == asked[name] for name in group.entity)
                if known and mine and (newest is None or row[group.event_time] >= newest[group.event_time]):
                    newest = row
            for place, name in enumerate(view.features):
                if newest is not None and name in group.feature_names:
                    line[place] = float(newest[name])
        out.append(line)
    values = np.array(out, dtype="float64").reshape(len(spine), len(view.features))
    return pd.concat([spine, pd.DataFrame(values, columns=list(view.features), index=spine.index)], axis=1)


def vector(store: FeatureStore, view: FeatureView, **key: Any) -> FeatureVector:
    """The one vector of this key."""
    (only,) = store.get_online_features(view, [key])
    return only


def _bits(value: Any) -> Any:
    if isinstance(value, (float, np.floating)):
        return "nan" if np.isnan(value) else np.float64(value).tobytes()
    return "nat" if value is pd.NaT else value
