"""A run of feature monitoring: statistics of two windows of a group's commits, and how they differ."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from btcfs_hopsworks.emulator.descriptive import describe
from btcfs_hopsworks.emulator.metadata import Feature, Group
from btcfs_hopsworks.emulator.offline_sql import offline_sql
from btcfs_hopsworks.emulator.planes import DataPlane
from btcfs_hopsworks.emulator.queries import plan
from btcfs_hopsworks.emulator.state import State, now_ms
from btcfs_hopsworks.emulator.statistics_jobs import group_rows
from btcfs_hopsworks.emulator.view_building import Selection, batch_query, windowed

_UNITS = {"w": 7 * 86_400_000, "d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1000}
_METRICS = {
    "STDDEV": "stdDev",
    "STD_DEV": "stdDev",
    "NUM_RECORDS_NULL": "numNullValues",
    "NUM_NULL_VALUES": "numNullValues",
    "NUM_NON_NULL_VALUES": "numNonNullValues",
    "APPROX_NUM_DISTINCT_VALUES": "approxNumDistinctValues",
    "EXACT_NUM_DISTINCT_VALUES": "exactNumDistinctValues",
}


def duration_ms(text: str) -> int:
    """``1w2d3h`` in milliseconds; ValueError if it is not such a text."""
    parts = re.findall(r"(\d+)([wdhms])", text)
    if not parts or "".join(n + unit for n, unit in parts) != text:
        raise ValueError(f"{text!r} is not a duration like 1w2d3h")
    return sum(int(n) * _UNITS[unit] for n, unit in parts)


def run(state: State, plane: DataPlane, config: Mapping[str, Any]) -> dict[str, Any]:
    """Computes both windows, compares them, and keeps the result."""
    wanted = [one["featureName"] for one in config.get("featureStatisticsConfigs") or () if one.get("featureName")]
    detection = _window(state, plane, config, config["detectionWindowConfig"], wanted)
    reference = (
        _window(state, plane, config, config["referenceWindowConfig"], wanted)
        if config.get("referenceWindowConfig")
        else {}
    )
    results = [_compared(one, detection, reference) for one in _each(config, detection)]
    with state.lock:
        number = state.next_id()
        result = {
            "id": number,
            "featureStoreId": config.get("featureStoreId"),
            "featureMonitoringConfigId": config["id"],
            "executionId": number,
            "monitoringTime": now_ms(),
            "raisedException": False,
            "emptyDetectionWindow": not any(d["count"] for d in detection.values()),
            "emptyReferenceWindow": not any(d["count"] for d in reference.values()),
            "featureStatisticsResults": results,
            "shiftedFeatureNames": [r["featureName"] for r in results if r["shiftedMetricNames"]],
        }
        state.collection("monitoring results")[number] = result
    return result


def _each(config: Mapping[str, Any], detection: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The configurations of features; one without a name is for all of them."""
    found: list[Mapping[str, Any]] = []
    configured: Sequence[Mapping[str, Any]] = config.get("featureStatisticsConfigs") or ({},)
    for one in configured:
        named = one.get("featureName")
        found += [one] if named else [{**one, "featureName": name} for name in detection]
    return found


def _compared(one: Mapping[str, Any], detection: Mapping[str, Any], reference: Mapping[str, Any]) -> dict[str, Any]:
    name = one["featureName"]
    found, expected = detection.get(name, {}), reference.get(name, {})
    compared = [_comparison(comparison, found, expected) for comparison in one.get("statisticsComparisonConfigs") or ()]
    return {
        "featureName": name,
        **({"detectionStatistics": found} if found else {}),
        **({"referenceStatistics": expected} if expected else {}),
        "statisticsComparisonResults": [result for _, result in compared],
        "shiftedMetricNames": [metric for metric, result in compared if result["shiftDetected"]],
    }


def _comparison(
    comparison: Mapping[str, Any], found: Mapping[str, Any], expected: Mapping[str, Any]
) -> tuple[str, dict[str, Any]]:
    """The difference of one metric; NaN, and no shift, for a metric that the emulator does not compute."""
    metric = str(comparison.get("metric") or comparison.get("distributionMetric"))
    field = _METRICS.get(metric, metric.lower())
    left = found.get(field)
    right = comparison.get("specificValue") if comparison.get("specificValue") is not None else expected.get(field)
    difference, shifted = None, False
    if isinstance(left, (int, float)) and isinstance(right, (int, float)):
        difference = abs(left - right)
        if comparison.get("relative"):
            difference = difference / abs(right) if right else (0.0 if difference == 0 else math.inf)
        threshold = float(comparison.get("threshold") or 0.0)
        shifted = difference > threshold or (not comparison.get("strict") and difference == threshold)
        difference = difference if math.isfinite(difference) else None
    return metric, {
        "statisticsComparisonConfigId": comparison.get("id"),
        "shiftDetected": shifted,
        **({"difference": difference} if difference is not None else {}),
    }


def _window(
    state: State, plane: DataPlane, config: Mapping[str, Any], window: Mapping[str, Any], wanted: list[str]
) -> dict[str, dict[str, Any]]:
    """The statistics of a window by feature."""
    if window.get("windowConfigType") == "TRAINING_DATASET":
        return _of_training_set(state, config, window)
    rows, features = _rows(state, config, window)
    return {d["featureName"]: d for d in describe(plane, rows, features, {"columns": wanted})}


def _rows(state: State, config: Mapping[str, Any], window: Mapping[str, Any]) -> tuple[str, list[Feature]]:
    kind, number = config["entity"].split("/")
    begun, ended = None, None
    if window.get("windowConfigType") == "ROLLING_TIME":
        begun = now_ms() - duration_ms(window["timeOffset"])
        ended = begun + duration_ms(window["windowLength"]) if window.get("windowLength") else None
    if kind == "featuregroups":
        group = state.groups[int(number)]
        if config.get("eventTime"):
            return _by_event_time(state, group, begun, ended), list(group.features)
        return group_rows(state, group, begun, ended), list(group.features)
    view = state.views[int(number)]
    query = batch_query(state, view, Selection(begun, ended, labels=True))
    return f"({offline_sql(plan(state, query))})", [Feature(f.name, f.type) for f in view.features]


def _by_event_time(state: State, group: Group, begun: int | None, ended: int | None) -> str:
    columns = [{"name": feature.name} for feature in group.features]
    query = windowed(state, {"leftFeatureGroup": {"id": group.id}, "leftFeatures": columns}, begun, ended)
    return f"({offline_sql(plan(state, query))})"


def _of_training_set(state: State, config: Mapping[str, Any], window: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    view = state.views[int(config["entity"].split("/")[1])]
    version = window.get("trainingDatasetVersion")
    numbers = [f"trainingdatasets/{t.id}" for t in state.training_sets_of(view) if t.version == version]
    with state.lock:
        known = [s for s in state.collection("statistics").values() if s["entity"] in numbers]
    described = (known[-1].get("featureDescriptiveStatistics") or ()) if known else ()
    return {d["featureName"]: d for d in described}
