"""Feature views: create, find, change and delete, with their batch queries and prepared statements."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from btcfs_hopsworks.emulator.instants import iso
from btcfs_hopsworks.emulator.metadata import ServingKey, View, ViewFeature
from btcfs_hopsworks.emulator.online_sql import lookup_sql
from btcfs_hopsworks.emulator.queries import QueryRefused, plan
from btcfs_hopsworks.emulator.rest import group_rules, tags
from btcfs_hopsworks.emulator.rest.group_fields import group_fields
from btcfs_hopsworks.emulator.rest.server import Answer, Call, Refused, Server, items, project_of, view_of
from btcfs_hopsworks.emulator.rest.training_sets import forget
from btcfs_hopsworks.emulator.state import now_ms
from btcfs_hopsworks.emulator.view_building import Selection, batch_query, serving_keys, view_features


def create(server: Server, call: Call) -> Answer:
    project, fields = project_of(server, call), call.object()
    name = group_rules.check_entity_name(fields.get("name"), "feature view")
    group_rules.check_description(fields.get("description"))
    query = fields.get("query")
    if not isinstance(query, dict):
        raise Refused(400, 270182, "Feature view query is missing", "expected a query object")
    try:
        planned = plan(server.state, query)
        features = view_features(planned, fields.get("features") or ())
    except QueryRefused as exc:
        raise Refused(404 if exc.code == 270009 else 400, exc.code, "Illegal query", str(exc)) from exc
    with server.state.lock:
        known = server.state.views_of(project.id, name)
        version = fields.get("version") or 1 + max((v.version for v in known), default=0)
        if any(v.version == version for v in known):
            raise Refused(400, 270179, "The feature view you want to create already exists", f"{name}, {version}")
        view = View(
            id=server.state.next_id(),
            project_id=project.id,
            name=name,
            version=int(version),
            query=query,
            features=features,
            serving_keys=serving_keys(planned),
            created_ms=now_ms(),
            body=fields,
        )
        server.state.views[view.id] = view
    described = fields.get("tags") or {}
    for tag in described.get("items", ()) if isinstance(described, dict) else described:
        tags.keep(server, f"featureview/{view.id}", tag["name"], tag["value"])
    return view_fields(server, view, call.url)


def view_fields(server: Server, view: View, href: str | None = None) -> dict[str, Any]:
    """A feature view as the API answers it; Refused with 270009 if one of its groups is gone."""
    project = server.state.project_of(view)
    return {
        "type": "featureViewDTO",
        **({"href": href} if href else {}),
        "id": view.id,
        "featurestoreId": project.featurestore_id,
        "featurestoreName": project.featurestore,
        "name": view.name,
        "version": view.version,
        "description": view.body.get("description") or "",
        "created": iso(view.created_ms),
        "creator": {"email": "user@localhost", "firstName": "Local", "lastName": "User"},
        "query": query_fields(server, view.query),
        "features": [_feature_fields(server, feature) for feature in view.features],
        "servingKeys": [_key_fields(server, key) for key in view.serving_keys],
        "loggingEnabled": bool(view.body.get("loggingEnabled")),
        "transformationFunctions": view.body.get("transformationFunctions") or [],
        **({"maxFeatureAgeSecs": view.body["maxFeatureAgeSecs"]} if "maxFeatureAgeSecs" in view.body else {}),
    }


def query_fields(server: Server, query: Mapping[str, Any]) -> dict[str, Any]:
    """A QueryDTO with its feature groups as they are now."""
    group = server.state.groups.get((query.get("leftFeatureGroup") or {}).get("id") or -1)
    if group is None:
        raise Refused(404, 270009, "Featuregroup wasn't found.", "a feature group of the query was deleted")
    joins = [{**join, "query": query_fields(server, join["query"])} for join in query.get("joins") or ()]
    return {**query, "leftFeatureGroup": group_fields(server.state, group), "joins": joins}


def _feature_fields(server: Server, feature: ViewFeature) -> dict[str, Any]:
    return {
        "name": feature.name,
        "type": feature.type,
        "index": feature.index,
        "label": feature.label,
        "inferenceHelperColumn": feature.inference_helper,
        "trainingHelperColumn": feature.training_helper,
        "featureGroupFeatureName": feature.feature,
        "featuregroup": _brief(server, feature.group_id),
    }


def _brief(server: Server, number: int) -> dict[str, Any]:
    group = server.state.groups.get(number)
    if group is None:
        raise Refused(404, 270009, "Featuregroup wasn't found.", f"featureGroupId: {number}")
    whole = group_fields(server.state, group)
    kept = ("type", "id", "name", "version", "featurestoreId", "featurestoreName", "onlineEnabled", "timeTravelFormat")
    return {name: whole[name] for name in kept}


def _key_fields(server: Server, key: ServingKey) -> dict[str, Any]:
    return {
        "featureName": key.feature,
        "joinIndex": key.join_index,
        "featureGroup": _brief(server, key.group_id),
        "prefix": key.prefix or "",
        "required": key.required,
        **({"joinOn": key.join_on} if key.join_on else {}),
    }


def one(server: Server, call: Call) -> Answer:
    return view_fields(server, view_of(server, call), call.url)


def versions(server: Server, call: Call) -> Answer:
    found = server.state.views_of(project_of(server, call).id, call.path["view"])
    if not found:
        raise Refused(404, 270181, "Feature view wasn't found.", f"feature view: {call.path['view']}")
    return {"href": call.url, "count": len(found), "items": [view_fields(server, view) for view in found]}


def everything(server: Server, call: Call) -> Answer:
    found = server.state.views_of(project_of(server, call).id)
    return {"href": call.url, "count": len(found), "items": [view_fields(server, view) for view in found]}


def update(server: Server, call: Call) -> Answer:
    view, fields = view_of(server, call), call.object()
    group_rules.check_description(fields.get("description"))
    names = ("description", "loggingEnabled", "maxFeatureAgeSecs")
    kept: dict[str, Any] = {name: fields[name] for name in names if name in fields}
    after = attrs.evolve(view, body={**view.body, **kept})
    with server.state.lock:
        server.state.views[view.id] = after
    return view_fields(server, after, call.url)


def delete(server: Server, call: Call) -> Answer:
    if "version" in call.path:
        _drop(server, view_of(server, call))
        return None
    found = server.state.views_of(project_of(server, call).id, call.path["view"])
    if not found:
        raise Refused(404, 270181, "Feature view wasn't found.", f"feature view: {call.path['view']}")
    for view in found:
        _drop(server, view)
    return None


def _drop(server: Server, view: View) -> None:
    for training_set in server.state.training_sets_of(view):
        forget(server, training_set)
    with server.state.lock:
        server.state.views.pop(view.id, None)
        server.state.tags.pop(f"featureview/{view.id}", None)


def batch(server: Server, call: Call) -> Answer:
    """The query of a batch: the window is half-open, ``[start_time, end_time)``."""
    view = view_of(server, call)
    selection = Selection(
        start_ms=_milliseconds(call, "start_time"),
        end_ms=_milliseconds(call, "end_time"),
        labels=call.flag("with_label"),
        primary_keys=call.flag("with_primary_keys"),
        event_time=call.flag("with_event_time"),
        inference_helpers=call.flag("inference_helper_columns"),
        training_helpers=call.flag("training_helper_columns"),
        extra_filter=call.json() if call.body else None,
    )
    try:
        return query_fields(server, batch_query(server.state, view, selection))
    except QueryRefused as exc:
        raise Refused(404 if exc.code == 270009 else 400, exc.code, "Illegal query", str(exc)) from exc


def _milliseconds(call: Call, name: str) -> int | None:
    value = call.query.get(name)
    return None if value in (None, "") else int(str(value))


def prepared_statements(server: Server, call: Call) -> Answer:
    """One statement for each feature group that gives something: its key is looked up in MySQL."""
    view, in_batch = view_of(server, call), call.flag("batch")
    found = []
    for index in sorted({key.join_index for key in view.serving_keys}):
        statement = _statement(server, view, index, call, in_batch=in_batch)
        if statement is not None:
            found.append(statement)
    return items(found, call.url)


def _statement(server: Server, view: View, index: int, call: Call, *, in_batch: bool) -> dict[str, Any] | None:
    keys = [key for key in view.serving_keys if key.join_index == index]
    group = server.state.groups.get(keys[0].group_id)
    if group is None:
        raise Refused(404, 270009, "Featuregroup wasn't found.", f"featureGroupId: {keys[0].group_id}")
    if not group.online_enabled:
        raise Refused(400, 270064, "Feature group is not online enabled", f"feature group: {group.name}")
    wanted = [f for f in view.features if f.join_index == index and _served(call, f)]
    if not wanted:
        return None
    columns = {feature.feature: feature.name for feature in wanted}
    if call.flag("logging_meta_data") and index == 0 and group.event_time:
        columns.setdefault(group.event_time, group.event_time)
    if in_batch:
        # The client tells the rows of a batch apart by their keys.
        for key in keys:
            columns.setdefault(key.feature, key.name)
    return {
        "featureGroupId": group.id,
        "preparedStatementIndex": index,
        "preparedStatementParameters": [{"name": key.feature, "index": i} for i, key in enumerate(keys, start=1)],
        "queryOnline": lookup_sql(
            server.state.project_of(view), group, columns, [key.feature for key in keys], batch=in_batch
        ),
        "prefix": keys[0].prefix or "",
    }


def _served(call: Call, feature: ViewFeature) -> bool:
    helper = feature.inference_helper
    if feature.label or (feature.training_helper and not helper):
        return False
    if call.flag("inference_helper_columns"):
        return helper
    if call.flag("logging_meta_data") or call.flag("feature_vector_with_inference_helpers"):
        return True
    return not helper
