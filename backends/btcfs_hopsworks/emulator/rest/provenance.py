"""What was made from what: links between feature groups, views, training datasets and models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from btcfs_hopsworks.emulator.metadata import Group, View
from btcfs_hopsworks.emulator.rest.group_fields import group_fields
from btcfs_hopsworks.emulator.rest.server import Answer, Call, Server, group_of, view_of
from btcfs_hopsworks.emulator.rest.training_sets import fields_of as training_set_fields
from btcfs_hopsworks.emulator.rest.views import view_fields


def links(server: Server, call: Call) -> Answer:
    """One level up and one down."""
    if "group" in call.path:
        group = group_of(server, call)
        views = [
            view
            for view in server.state.views_of(group.project_id)
            if any(key.group_id == group.id for key in view.serving_keys) or _uses(view, group)
        ]
        return _linked(_group_node(server, group), downstream=[_view_node(server, view) for view in views])
    view = view_of(server, call)
    numbers = dict.fromkeys([k.group_id for k in view.serving_keys] + [f.group_id for f in view.features])
    groups = [server.state.groups[number] for number in numbers if number in server.state.groups]
    name, project = f"{view.name}_{view.version}", server.state.project_of(view).name
    below = [
        _node("TRAINING_DATASET", project, name, found.version, training_set_fields(server, view, found))
        for found in server.state.training_sets_of(view)
    ]
    above = [_group_node(server, group) for group in groups]
    return _linked(_view_node(server, view), upstream=above, downstream=below)


def _linked(
    node: dict[str, Any], upstream: Sequence[dict[str, Any]] = (), downstream: Sequence[dict[str, Any]] = ()
) -> dict[str, Any]:
    return {
        "node": node,
        "upstream": [{"node": one, "upstream": [], "downstream": []} for one in upstream],
        "downstream": [{"node": one, "upstream": [], "downstream": []} for one in downstream],
    }


def _uses(view: View, group: Group) -> bool:
    return any(feature.group_id == group.id for feature in view.features)


def _group_node(server: Server, group: Group) -> dict[str, Any]:
    project = server.state.project_of(group).name
    return _node("FEATURE_GROUP", project, group.name, group.version, group_fields(server.state, group))


def _view_node(server: Server, view: View) -> dict[str, Any]:
    project = server.state.project_of(view).name
    return _node("FEATURE_VIEW", project, view.name, view.version, view_fields(server, view))


def _node(kind: str, project: str, name: str, version: int, artifact: dict[str, Any]) -> dict[str, Any]:
    return {
        "artifactType": kind,
        "accessible": True,
        "deleted": False,
        "artifact": {**artifact, "project": project, "name": name, "version": version},
    }
