"""Feature groups: create, find, change, clear and delete, with their commits and expectation suites."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs

from btcfs_hopsworks.emulator.instants import iso
from btcfs_hopsworks.emulator.metadata import Feature, Group, Project
from btcfs_hopsworks.emulator.rest import group_rules, ingestion, tags
from btcfs_hopsworks.emulator.rest.group_fields import KINDS, feature_of, format_of, group_fields, with_precombine
from btcfs_hopsworks.emulator.rest.jobs import job_fields
from btcfs_hopsworks.emulator.rest.server import Answer, Call, Refused, Server, group_of, items, project_of
from btcfs_hopsworks.emulator.state import now_ms


def create(server: Server, call: Call) -> Answer:
    project, fields = project_of(server, call), call.object()
    name = group_rules.check_entity_name(fields.get("name"))
    group_rules.check_description(fields.get("description"))
    kind = fields.get("type")
    if kind not in KINDS:
        raise Refused(400, 270040, "Illegal feature group type", f"{kind!r}; expected one of {', '.join(KINDS)}")
    online, time_travel = bool(fields.get("onlineEnabled")), format_of(fields)
    features = _checked(fields.get("features") or (), online=online, event_time=fields.get("eventTime"))
    with server.state.lock:
        known = server.state.groups_of(project.id, name)
        version = fields.get("version") or 1 + max((g.version for g in known), default=0)
        if any(g.version == version for g in known):
            raise Refused(400, 270089, "The feature group you want to create already exists", f"{name}, {version}")
        group = Group(
            id=server.state.next_id(),
            project_id=project.id,
            name=name,
            version=int(version),
            features=with_precombine(features, time_travel, fields.get("eventTime")),
            event_time=fields.get("eventTime"),
            online_enabled=online,
            time_travel_format=time_travel,
            kind=kind,
            topic=_topic(project, fields, online=online),
            subject_id=server.state.next_id(),
            created_ms=now_ms(),
            body=fields,
        )
        server.state.groups[group.id] = group
    try:
        server.plane.create_group(group)
    except Exception:  # whatever the stores refuse, a group without its tables must not stay
        server.state.groups.pop(group.id, None)
        raise
    if kind == "streamFeatureGroupDTO":
        server.jobs.define(project.id, job_name(group), "materialise", {"group": group.id})
    _keep_tags(server, group, fields)
    return group_fields(server.state, group, href=call.url)


def _checked(described: Sequence[dict[str, Any]], *, online: bool, event_time: str | None) -> tuple[Feature, ...]:
    features = tuple(feature_of(fields, online=online) for fields in described)
    group_rules.check_features(features)
    if features:
        group_rules.check_event_time(features, event_time)
        if online:
            group_rules.check_online(features)
    return features


def _topic(project: Project, fields: dict[str, Any], *, online: bool) -> str:
    chosen = fields.get("topicName")
    return str(chosen) if chosen else f"{project.name}_onlinefs" if online else project.name


def _keep_tags(server: Server, group: Group, fields: dict[str, Any]) -> None:
    described = fields.get("tags") or {}
    for tag in described.get("items", ()) if isinstance(described, dict) else described:
        tags.keep(server, f"featuregroups/{group.id}", tag["name"], tag["value"])


def job_name(group: Group) -> str:
    """The job that moves a group's rows from Kafka to the offline store."""
    return f"{group.table}_offline_fg_materialization"


def find(server: Server, call: Call) -> Answer:
    """``…/featuregroups/{group}`` by number, or the list of a name's versions."""
    wanted = call.path["group"]
    if wanted.isdigit():
        return group_fields(server.state, group_of(server, call), href=call.url)
    found = server.state.groups_of(project_of(server, call).id, wanted)
    if "version" in call.query:
        found = tuple(g for g in found if g.version == int(call.query["version"]))
    if not found:
        raise Refused(404, 270009, "Featuregroup wasn't found.", f"feature group name: {wanted}")
    return [group_fields(server.state, group, href=call.url) for group in found]


def everything(server: Server, call: Call) -> Answer:
    found = server.state.groups_of(project_of(server, call).id)
    return items([group_fields(server.state, group) for group in found], call.url)


def update(server: Server, call: Call) -> Answer:
    before, fields = group_of(server, call), call.object()
    body, features = dict(before.body), before.features
    online = before.online_enabled
    if call.flag("updateMetadata"):
        group_rules.check_description(fields.get("description"))
        online = bool(fields.get("onlineEnabled", online))
        features = _updated_features(before, fields, online=online)
        for name in ("description", "notificationTopicName", "ttl", "ttlEnabled"):
            if name in fields:
                body[name] = fields[name]
    if call.flag("updateStatsConfig"):
        body["statisticsConfig"] = fields.get("statisticsConfig")
    if "deprecate" in call.query:
        body["deprecated"] = call.flag("deprecate")
    after = attrs.evolve(before, features=features, online_enabled=online, body=body)
    with server.state.lock:
        server.state.groups[after.id] = after
    if after.features != before.features or after.online_enabled != before.online_enabled:
        server.plane.change_group(before, after)
    return group_fields(server.state, after, href=call.url)


def _updated_features(before: Group, fields: dict[str, Any], *, online: bool) -> tuple[Feature, ...]:
    """The features with their new descriptions, and appended ones; Refused with 270100 if others change."""
    described = fields.get("features")
    if not described:
        return before.features
    wanted = {f["name"]: feature_of(f, online=online) for f in described}
    kept = []
    for old in before.features:
        new = wanted.pop(old.name, None)
        if new is None or new.type != old.type or new.primary != old.primary:
            raise Refused(
                400,
                270100,
                "Feature group schema change is not supported",
                f"feature {old.name!r} was dropped or changed; features can only be appended",
            )
        kept.append(attrs.evolve(old, description=new.description, online_type=old.online_type or new.online_type))
    appended = tuple(wanted.values())
    if any(f.primary or f.partition for f in appended):
        raise Refused(400, 270100, "Feature group schema change is not supported", "a key cannot be appended")
    group_rules.check_features((*kept, *appended))
    return (*kept, *appended)


def update_table_schema(server: Server, call: Call) -> Answer:
    group = group_of(server, call)
    job = server.jobs.define(group.project_id, f"{group.table}_update_table_schema", "alter", {"group": group.id})
    server.jobs.start(job)
    return job_fields(server, job)


def delete(server: Server, call: Call) -> Answer:
    group = group_of(server, call)
    using = [
        view
        for view in server.state.views_of(group.project_id)
        if any(feature.group_id == group.id for feature in view.features)
    ]
    if using and not (call.flag("force") or call.flag("deleteFeatureViews")):
        names = ", ".join(f"{view.name} {view.version}" for view in using)
        raise Refused(400, 270232, "Feature group is used by feature views", f"delete them first, or force: {names}")
    with server.state.lock:
        if call.flag("deleteFeatureViews"):
            for view in using:
                server.state.views.pop(view.id, None)
        server.state.groups.pop(group.id, None)
        server.state.commits.pop(group.id, None)
        server.state.tags.pop(f"featuregroups/{group.id}", None)
        job = server.state.job_named(group.project_id, job_name(group))
        if job is not None:
            server.state.jobs.pop(job.id)
        statistics = server.state.collection("statistics")
        for number in [n for n, s in statistics.items() if s["entity"] == f"featuregroups/{group.id}"]:
            del statistics[number]
    ingestion.forget(server, group)
    server.plane.drop_group(group)
    return None


def clear(server: Server, call: Call) -> Answer:
    group = group_of(server, call)
    server.plane.clear_group(group)
    with server.state.lock:
        server.state.commits.pop(group.id, None)
    return None


def commits(server: Server, call: Call) -> Answer:
    """The commits of a group, newest first, at or before the instant of the filter."""
    group = group_of(server, call)
    with server.state.lock:
        found = sorted(server.state.commits.get(group.id, ()), key=lambda c: -c.committed_ms)
    for condition in call.repeated("filter_by"):
        name, _, value = condition.partition(":")
        if name in ("commited_on_ltoeq", "committed_on_ltoeq"):
            found = [c for c in found if c.committed_ms <= int(value)]
    begun = int(call.query.get("offset", 0))
    limit = int(call.query.get("limit", len(found)) or len(found))
    return items(
        [
            {
                "commitID": commit.id,
                "commitTime": commit.committed_ms,
                "commitDateString": iso(commit.committed_ms),
                "rowsInserted": commit.inserted,
                "rowsUpdated": commit.updated,
                "rowsDeleted": commit.deleted,
                "validationId": 0,
            }
            for commit in found[begun : begun + limit]
        ],
        call.url,
    )


def add_commit(server: Server, call: Call) -> Answer:
    """What a client that wrote files itself reports; the rows themselves stay in its files."""
    group, fields = group_of(server, call), call.object()
    commit = server.state.add_commit(
        group,
        inserted=int(fields.get("rowsInserted") or 0),
        updated=int(fields.get("rowsUpdated") or 0),
        deleted=int(fields.get("rowsDeleted") or 0),
    )
    return {**fields, "href": call.url, "commitID": commit.id, "commitTime": commit.committed_ms}


def expectation_suite(server: Server, call: Call) -> Answer:
    group_of(server, call)
    return {"count": 0}
