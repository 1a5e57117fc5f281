"""Statistics and feature monitoring of Hopsworks, computed by jobs of the cluster; calls that can wait."""

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


def monitor(
    session: Session,
    group: Any,
    name: str,
    feature: str,
    *,
    window: str,
    reference: str,
    metric: str,
    threshold: float,
    cron: str,
) -> str:
    """Make a monitoring configuration that compares a feature's metric of the last window with an earlier one; its page."""

    def make() -> Any:
        config = group.create_feature_monitoring(name=name, cron_expression=cron)
        config = config.with_detection_window(time_offset=window, window_length=window)
        config = config.with_reference_window(time_offset=reference, window_length=window)
        return config.compare_on(feature_name=feature, metric=metric, threshold=threshold).save()

    config = session.call(f"monitoring {feature} of {group.name}", make, essential=False, quiet=True)
    return f"{session.url()}/fs/{session.store.id}/fg/{group.id}/feature-monitoring/{config.id}"


def _snake(name: str) -> str:
    return re.sub("([A-Z])", r"_\1", name).lower()
