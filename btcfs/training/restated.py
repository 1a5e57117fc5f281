"""How often rows of a group were changed after they were first known."""

from __future__ import annotations

from btcfs.definitions import FeatureGroup
from btcfs.store import Capability, FeatureStore


def restated_rows(store: FeatureStore, group: FeatureGroup) -> int | None:
    """How many times a stored row of the group was written with other values, whatever its entity.

    A row that changed twice counts twice. None if the store keeps no history or does not say how many rows its
    commits wrote.
    """
    if Capability.TIME_TRAVEL not in store.capabilities:
        return None
    written = 0
    for commit in store.commits(group):
        if commit.rows is None:
            return None
        written += commit.rows
    return written - store.summary(group).rows
