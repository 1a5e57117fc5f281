"""Feature monitoring of Hopsworks: configurations that jobs of the cluster carry out; calls that can wait."""

from __future__ import annotations

import math
import re
from typing import Any

import attrs

from btcfs.errors import DefinitionError, NotFound
from btcfs_hopsworks import quartz
from btcfs_hopsworks.gateway.session import Session

_DURATION = re.compile(r"(\d+w)?(\d+d)?(\d+h)?(\d+m)?(?<=.)")


@attrs.frozen
class Monitoring:
    """A comparison: a feature's ``metric`` over the last ``window`` against as long a window that began ``reference`` ago.

    It is made at each time of the Quartz expression ``cron`` (UTC); a difference above ``threshold`` is a shift. Windows
    are durations such as ``1w2d3h``; they are None, as everything else is, where a configuration made by others has no such
    part.
    """

    name: str
    feature: str | None
    metric: str | None = "mean"
    threshold: float | None = 0.5
    window: str | None = "1d"
    reference: str | None = "1w1d"
    cron: str | None = "0 0 12 ? * * *"


def create(session: Session, group: Any, wanted: Monitoring) -> str:
    """Make a configuration; its page. DefinitionError if the name is taken or the client refuses a part of it."""
    what = f"monitoring {wanted.name} of {group.name} v{group.version}"

    def make() -> Any:
        if _named(group, wanted.name):
            raise DefinitionError(f"{what} is there already; choose another name, or delete it first")
        try:
            built = _built(group, wanted)
        # The client checks windows, metric and name with these, before it asks the cluster.
        except (ValueError, TypeError) as exc:
            raise DefinitionError(f"{what}: {exc}") from exc
        return built.save()

    config = session.call(what, make, essential=False, quiet=True)
    return f"{session.url()}/fs/{session.store.id}/fg/{group.id}/feature-monitoring/{config.id}"


def listed(session: Session, group: Any) -> list[Monitoring]:
    """Every configuration of a group, by name; one for each feature and metric that it compares."""
    found = session.call(f"monitoring of {group.name}", group.get_feature_monitoring_configs, quiet=True)
    return sorted((one for config in found or () for one in _read(config)), key=lambda m: (m.name, m.feature or ""))


def delete(session: Session, group: Any, name: str) -> None:
    """Remove a configuration and what it found. NotFound if there is none of that name."""

    def remove() -> None:
        found = _named(group, name)
        if not found:
            raise NotFound(
                f"no monitoring named {name!r} of {group.name} v{group.version}; btcfs monitor list shows them"
            )
        for config in found:
            config.delete()

    session.call(f"deleting monitoring {name} of {group.name}", remove, quiet=True)


def _named(group: Any, name: str) -> list[Any]:
    """The configuration of that name, or none; the client gives None, an empty list or the configuration itself."""
    found = group.get_feature_monitoring_configs(name=name)
    return found if isinstance(found, list) else [] if found is None else [found]


def _built(group: Any, wanted: Monitoring) -> Any:
    for title, text in (("window", wanted.window), ("reference", wanted.reference)):
        if _DURATION.fullmatch(text or "") is None:  # the client takes any text
            raise ValueError(f"{title} is {text!r}, expected a duration such as 1d or 1w2d3h")
    quartz.check(wanted.cron or "")
    if wanted.threshold is None or not math.isfinite(wanted.threshold) or wanted.threshold < 0:
        raise ValueError(f"threshold is {wanted.threshold}, expected a number of at least 0")
    config = group.create_feature_monitoring(name=wanted.name, cron_expression=wanted.cron)
    config = config.with_detection_window(time_offset=wanted.window, window_length=wanted.window)
    config = config.with_reference_window(time_offset=wanted.reference, window_length=wanted.window)
    return config.compare_on(feature_name=wanted.feature, metric=wanted.metric, threshold=wanted.threshold)


def _read(config: Any) -> list[Monitoring]:
    detection, reference = config.detection_window_config, config.reference_window_config
    common = Monitoring(
        name=config.name,
        feature=None,
        metric=None,
        threshold=None,
        window=None if detection is None else detection.window_length,
        reference=None if reference is None else reference.time_offset,
        cron=None if config.job_schedule is None else config.job_schedule.cron_expression,
    )
    return [
        attrs.evolve(common, feature=one.feature_name, metric=comparison.metric.lower(), threshold=comparison.threshold)
        for one in config.feature_statistics_configs
        for comparison in one.statistics_comparison_configs or ()
    ] or [common]
