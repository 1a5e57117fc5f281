"""The point-in-time join left to Feast, for stores whose tables may not be pulled whole."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from btcfs import frames
from btcfs.catalogue import ResolvedView
from btcfs.definitions import FeatureGroup
from btcfs.errors import Unsupported
from btcfs.point_in_time import checked_spine
from btcfs_feast.naming import feast_name
from btcfs_feast.registered import Stored
from btcfs_feast.repository import Repository
from btcfs_feast.shelf import Shelf

_TIME = "event_timestamp"  # what Feast looks for in an entity frame
_UNSTABLE = ("dask", "file", "ray")


def join(
    repository: Repository,
    view: ResolvedView,
    spine: pd.DataFrame,
    parts: Sequence[tuple[Stored, Shelf]],
) -> pd.DataFrame:
    """``FeatureStore.get_historical_features`` by Feast's own join of each group.

    Feast drops and merges rows and changes their order (feast-dev/feast#6787), and some stores give naive
    times; so it gets each asked pair of entity and instant once, and the answers are brought back to the rows.
    Unsupported for a group whose join Feast would get wrong.
    """
    times, _ = checked_spine(view, spine)
    block = np.full((len(spine), len(view.view.features)), np.nan)
    for (group, names, places), (stored, shelf) in zip(view.parts, parts, strict=True):
        if names and len(spine):
            _refuse_wrong(repository, group, stored, shelf)
            asked = spine[list(group.entity)].reset_index(drop=True).assign(**{_TIME: frames.from_micros_array(times)})
            block[:, list(places)] = _joined(repository, group, stored, names, asked)
    features = pd.DataFrame(block, columns=list(view.view.features), index=spine.index)
    return pd.concat([spine.copy(), features], axis=1)


def _joined(
    repository: Repository, group: FeatureGroup, stored: Stored, names: Sequence[str], asked: pd.DataFrame
) -> np.ndarray[Any, Any]:
    """One row for each row asked, NaN where Feast has none."""
    name = feast_name(group) if stored.foreign is None else stored.foreign.view.name
    own: list[Callable[[str], Any]] = [str] * len(group.entity)
    kinds = own if stored.foreign is None else list(stored.foreign.key_types)
    keys = [*group.entity, _TIME]
    for column, kind in zip(group.entity, kinds, strict=True):
        asked = asked.assign(**{column: [kind(text) for text in asked[column]]})
    with repository.translated("offline store"):
        job = repository.feast.get_historical_features(
            asked.drop_duplicates(keys), [f"{name}:{feature}" for feature in names], full_feature_names=True
        )
        found = job.to_df()
    found[_TIME] = pd.to_datetime(found[_TIME], utc=True).dt.as_unit("us")
    for column, kind in zip(group.entity, kinds, strict=True):
        found[column] = [kind(value) for value in found[column]]
    together = asked.merge(found.drop_duplicates(keys), on=keys, how="left")
    columns = [together[f"{name}__{feature}"].astype("float64").to_numpy() for feature in names]
    return np.stack(columns, axis=1)


def _refuse_wrong(repository: Repository, group: FeatureGroup, stored: Stored, shelf: Shelf) -> None:
    unstable = repository.offline_type in _UNSTABLE
    if stored.foreign is not None:
        revised = bool(stored.foreign.view.batch_source.created_timestamp_column)
    else:
        revised = any(entry.updated for entry in shelf.entries())
    moving = stored.foreign is None and group.interval is None
    if not group.entity:
        reason = "it has no entity, so that Feast would pair each row with each"
    elif moving:
        reason = "the event time of its rows may change, which Feast does not know"
    elif unstable and revised:
        reason = f"it has revised rows, of which the {repository.offline_type} store takes any (feast-dev/feast#5228)"
    else:
        return
    raise Unsupported(f"Feast would join {group.title} wrongly: {reason}. Open the repository with scan=True")
