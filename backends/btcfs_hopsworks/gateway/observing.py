"""Statistics of Hopsworks, computed by jobs of the cluster; calls that can wait."""

from __future__ import annotations

import re
from typing import Any

from btcfs_hopsworks.gateway.session import Session


def compute_statistics(session: Session, group: Any, seconds: float) -> None:
    """Have the cluster compute the statistics of a group's offline rows, and wait for it."""
    session.call(f"statistics of {group.name}", group.compute_statistics, seconds, essential=False, quiet=True)


def statistics(session: Session, group: Any) -> dict[str, dict[str, Any]]:
    """The newest registered statistics by feature: count, mean, min, max, stddev and whatever else is known."""

    def newest() -> dict[str, dict[str, Any]]:
        found = group.get_statistics()
        if found is None:
            return {}
        described = found.feature_descriptive_statistics or []
        return {d.feature_name: {_snake(k): v for k, v in d.to_dict().items() if v is not None} for d in described}

    return session.call(f"statistics of {group.name}", newest, essential=False, quiet=True)


def _snake(name: str) -> str:
    return re.sub("([A-Z])", r"_\1", name).lower()
