"""Statistics: computed by a job, registered by clients, and found by commit or computation time."""

from __future__ import annotations

from typing import Any

from btcfs_hopsworks.emulator.metadata import Group
from btcfs_hopsworks.emulator.rest.jobs import job_fields
from btcfs_hopsworks.emulator.rest.server import (
    Answer,
    Call,
    Refused,
    Server,
    group_of,
    items,
    project_of,
    training_set_of,
    view_of,
)
from btcfs_hopsworks.emulator.state import now_ms
from btcfs_hopsworks.emulator.statistics_jobs import keep


def _entity(server: Server, call: Call) -> tuple[str, Group | None]:
    if "group" in call.path:
        group = group_of(server, call)
        return f"featuregroups/{group.id}", group
    return f"trainingdatasets/{training_set_of(server, call).id}", None


def get(server: Server, call: Call) -> Answer:
    """The statistics of an entity that pass the filters, newest first; Refused with 270228 if there are none."""
    entity, group = _entity(server, call)
    with server.state.lock:
        found = [s for s in server.state.collection("statistics").values() if s["entity"] == entity]
    for condition in call.repeated("filter_by"):
        name, _, value = condition.partition(":")
        found = [s for s in found if _passes(server, group, s, name, value)]
    if not found:
        raise Refused(404, 270228, "Statistics wasn't found.", entity)
    found.sort(key=lambda s: (s.get("windowEndCommitTime", 0), s["computationTime"]), reverse=True)
    begun = int(call.query.get("offset", 0))
    shown = found[begun : begun + int(call.query.get("limit", len(found)))]
    names = set(call.repeated("feature_names"))
    content = call.query.get("fields") == "content"
    return items([fields_of(statistics, names, content=content) for statistics in shown], call.url)


def _passes(server: Server, group: Group | None, statistics: dict[str, Any], name: str, value: str) -> bool:
    ends, starts = statistics.get("windowEndCommitTime"), statistics.get("windowStartCommitTime")
    if name == "window_end_commit_time_eq":
        return ends == _commit_at(server, group, int(value))
    if name == "window_end_commit_time_ltoeq":
        return ends is not None and ends <= int(value)
    if name == "window_start_commit_time_eq":
        return bool(starts == int(value) or (starts is None and value == "0"))
    if name == "window_start_commit_time_gtoeq":
        return starts is not None and starts >= int(value)
    if name == "computation_time_ltoeq":
        return bool(statistics["computationTime"] <= int(value))
    if name == "row_percentage_eq":
        return bool(statistics.get("rowPercentage", 1.0) == float(value))
    if name == "before_transformation_eq":
        return bool(statistics.get("beforeTransformation", False)) == (value.lower() == "true")
    fields = {
        "window_end_event_time_eq": "windowEndEventTime",
        "window_start_event_time_eq": "windowStartEventTime",
        "event_time_eq": "eventTime",
    }
    if name in fields:
        return str(statistics.get(fields[name])) == value
    raise Refused(400, 120004, "Unknown filter", name)


def _commit_at(server: Server, group: Group | None, at_ms: int) -> int | None:
    """The last commit at or before an instant: clients ask with the time of now."""
    with server.state.lock:
        known = server.state.commits.get(group.id, []) if group is not None else []
    return max((c.committed_ms for c in known if c.committed_ms <= at_ms), default=None)


def fields_of(statistics: dict[str, Any], names: set[str], *, content: bool) -> dict[str, Any]:
    """Statistics as the API answers them; the description of features only with ``fields=content``."""
    described = ("featureDescriptiveStatistics", "splitStatistics")
    shown = {name: value for name, value in statistics.items() if name != "entity" and name not in described}
    if not content:
        return shown
    if "featureDescriptiveStatistics" in statistics:
        shown["featureDescriptiveStatistics"] = _named(statistics["featureDescriptiveStatistics"], names)
    if "splitStatistics" in statistics:
        shown["splitStatistics"] = [
            {**split, "featureDescriptiveStatistics": _named(split["featureDescriptiveStatistics"], names)}
            for split in statistics["splitStatistics"]
        ]
    return shown


def _named(described: list[dict[str, Any]] | None, names: set[str]) -> list[dict[str, Any]]:
    return [one for one in described or () if not names or one["featureName"] in names]


def register(server: Server, call: Call) -> Answer:
    """Keeps what a client computed itself."""
    entity, _ = _entity(server, call)
    given = {name: value for name, value in call.object().items() if value is not None}
    kept = keep(server.state, {"computationTime": now_ms(), "rowPercentage": 1.0, **given, "entity": entity})
    return fields_of(kept, set(), content=True)


def compute(server: Server, call: Call) -> Answer:
    """Starts the job that computes statistics of a group, as of a commit if one is named."""
    project = project_of(server, call)
    if "group" in call.path:
        group = group_of(server, call)
        target: dict[str, Any] = {
            "group": group.id,
            "start": _optional(call, "start_commit_time"),
            "end": _optional(call, "end_commit_time"),
        }
        name = f"{group.table}_compute_stats"
    else:
        view, training_set = view_of(server, call), training_set_of(server, call)
        target = {"training_set": training_set.id}
        name = f"{view.name}_{view.version}_{training_set.version}_compute_stats"
    job = server.jobs.define(project.id, name, "statistics", target)
    server.jobs.start(job)
    return job_fields(server, job)


def _optional(call: Call, name: str) -> int | None:
    return int(call.query[name]) if name in call.query else None
