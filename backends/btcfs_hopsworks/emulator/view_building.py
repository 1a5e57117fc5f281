"""From a feature view as a client describes it to its features, serving keys and queries."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import attrs

from btcfs_hopsworks.emulator.instants import timestamp_text
from btcfs_hopsworks.emulator.metadata import Group, ServingKey, View, ViewFeature
from btcfs_hopsworks.emulator.queries import Part, Plan, QueryRefused, group_in, plan
from btcfs_hopsworks.emulator.state import State


def view_features(planned: Plan, markers: Iterable[Mapping[str, Any]]) -> tuple[ViewFeature, ...]:
    """The features of a view in the order of its query; ``markers`` say which are labels or helpers."""
    found: list[ViewFeature] = []
    for part in planned.parts:
        kinds = {feature.name: feature.type for feature in part.group.features}
        found += [
            ViewFeature(
                name=column.output,
                type=kinds[column.feature],
                feature=column.feature,
                group_id=part.group.id,
                index=len(found) + position,
                join_index=part.index,
                prefix=part.prefix,
            )
            for position, column in enumerate(part.columns)
        ]
    for marker in markers:
        position = _marked(found, marker)
        found[position] = attrs.evolve(
            found[position],
            label=bool(marker.get("label")),
            inference_helper=bool(marker.get("inferenceHelperColumn")),
            training_helper=bool(marker.get("trainingHelperColumn")),
        )
    return tuple(found)


def _marked(features: Sequence[ViewFeature], marker: Mapping[str, Any]) -> int:
    group = (marker.get("featuregroup") or {}).get("id")
    wanted = {marker["name"], marker.get("featureGroupFeatureName")}
    for position, feature in enumerate(features):
        if feature.name == marker["name"] or (feature.feature in wanted and feature.group_id == group):
            return position
    raise QueryRefused(270103, f"label or helper column {marker['name']!r} is not in the query")


def serving_keys(planned: Plan) -> tuple[ServingKey, ...]:
    """The key of each feature group; a joined key that the left group's key gives is not required."""
    left = planned.parts[0].group
    found = []
    for part in planned.parts:
        joined = {right: a for a, right in part.link.pairs} if part.link else {}
        for name in part.group.primary_key:
            from_left = joined.get(name)
            found.append(
                ServingKey(
                    feature=name,
                    group_id=part.group.id,
                    join_index=part.index,
                    prefix=part.prefix,
                    required=from_left is None or from_left not in left.primary_key,
                    join_on=from_left,
                )
            )
    return tuple(found)


@attrs.frozen
class Selection:
    """What a batch query of a view keeps besides its features; times are epoch milliseconds, half-open."""

    start_ms: int | None = None
    end_ms: int | None = None
    labels: bool = False
    primary_keys: bool = False
    event_time: bool = False
    inference_helpers: bool = False
    training_helpers: bool = False
    extra_filter: Mapping[str, Any] | None = None


def batch_query(state: State, view: View, selection: Selection) -> dict[str, Any]:
    """The view's QueryDTO with only the chosen columns, and the window as a filter on the left group."""
    query: dict[str, Any] = copy.deepcopy(dict(view.query))
    planned = plan(state, view.query)
    for part, node in zip(planned.parts, _nodes(query), strict=True):
        node["leftFeatures"] = _chosen(view, part, selection)
    query["filter"] = _both(query.get("filter"), selection.extra_filter)
    return windowed(state, query, selection.start_ms, selection.end_ms)


def windowed(state: State, query: Mapping[str, Any], start_ms: int | None, end_ms: int | None) -> dict[str, Any]:
    """A QueryDTO whose left rows have an event time in ``[start_ms, end_ms)``; None is no bound."""
    left, kept = group_in(state, query), query.get("filter")
    for condition in _window(left, start_ms, end_ms):
        kept = _both(kept, condition)
    return {**query, "filter": kept}


def _nodes(query: dict[str, Any]) -> list[dict[str, Any]]:
    """A QueryDTO and those joined to it, in the order of a plan's parts."""
    return [query, *(node for join in query.get("joins") or () for node in _nodes(join["query"]))]


def _chosen(view: View, part: Part, selection: Selection) -> list[dict[str, Any]]:
    kept = [f for f in view.features if f.join_index == part.index and _keeps(selection, f)]
    described = {f.name: f for f in part.group.features}
    chosen = [_described(part.group, described[f.feature], qualified=False) for f in kept]
    names = {f.feature for f in view.features if f.join_index == part.index}
    added = [*(part.group.primary_key if selection.primary_keys else ())]
    if selection.event_time and part.group.event_time:
        added.append(part.group.event_time)
    extra = [name for name in dict.fromkeys(added) if name not in names]
    return [*chosen, *(_described(part.group, described[name], qualified=True) for name in extra)]


def _described(group: Group, feature: Any, *, qualified: bool) -> dict[str, Any]:
    return {
        "name": feature.name,
        "type": feature.type,
        "primary": feature.primary,
        "partition": feature.partition,
        "onlineType": feature.online_type,
        "featureGroupId": group.id,
        "useFullyQualifiedName": qualified,
    }


def _keeps(selection: Selection, feature: ViewFeature) -> bool:
    if feature.label:
        return selection.labels
    if feature.inference_helper and feature.training_helper:
        return selection.inference_helpers or selection.training_helpers
    if feature.inference_helper:
        return selection.inference_helpers
    return selection.training_helpers if feature.training_helper else True


def _window(group: Group, start_ms: int | None, end_ms: int | None) -> list[dict[str, Any]]:
    if group.event_time is None:
        return []
    feature = next(f for f in group.features if f.name == group.event_time)
    bounds = (("GREATER_THAN_OR_EQUAL", start_ms), ("LESS_THAN", end_ms))
    return [
        {
            "type": "SINGLE",
            "leftFilter": {
                "feature": _described(group, feature, qualified=False),
                "condition": condition,
                "value": str(at) if feature.type == "bigint" else timestamp_text(at, date=feature.type == "date"),
            },
        }
        for condition, at in bounds
        if at is not None
    ]


def _both(left: Mapping[str, Any] | None, right: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    if not left or not right:
        return left or right
    return {"type": "AND", "leftLogic": dict(left), "rightLogic": dict(right)}
