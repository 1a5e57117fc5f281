"""Feature monitoring: configurations of groups and views, their jobs, and what those found."""

from __future__ import annotations

from typing import Any

from btcfs_hopsworks.emulator.rest.group_rules import check_entity_name
from btcfs_hopsworks.emulator.rest.jobs import job_fields
from btcfs_hopsworks.emulator.rest.server import Answer, Call, Refused, Server, group_of, items, project_of, view_of


def entity_of(server: Server, call: Call) -> str:
    if "group" in call.path:
        return f"featuregroups/{group_of(server, call).id}"
    return f"featureview/{view_of(server, call).id}"


def create(server: Server, call: Call) -> Answer:
    entity, fields, project = entity_of(server, call), call.object(), project_of(server, call)
    name = check_entity_name(fields.get("name"), "feature monitoring configuration")
    with server.state.lock:
        configs = server.state.collection("monitoring")
        if any(c["entity"] == entity and c["name"] == name for c in configs.values()):
            raise Refused(400, 270234, "The feature monitoring configuration already exists", name)
        number = server.state.next_id()
        config = {
            **fields,
            "id": number,
            "entity": entity,
            "jobName": f"{_title(server, call)}_{name}_run_feature_monitoring",
        }
        _number_parts(server, config)
        configs[number] = config
    server.jobs.define(project.id, config["jobName"], "monitoring", {"config": number})
    return shown(config)


def _title(server: Server, call: Call) -> str:
    if "group" in call.path:
        return group_of(server, call).table
    view = view_of(server, call)
    return f"{view.name}_{view.version}"


def _number_parts(server: Server, config: dict[str, Any]) -> None:
    """Gives each window, statistic and comparison its own number, as the server does."""
    for window in ("detectionWindowConfig", "referenceWindowConfig"):
        if config.get(window):
            config[window] = {**config[window], "id": config[window].get("id") or server.state.next_id()}
    for one in config.get("featureStatisticsConfigs") or ():
        one["id"] = one.get("id") or server.state.next_id()
        for comparison in one.get("statisticsComparisonConfigs") or ():
            comparison["id"] = comparison.get("id") or server.state.next_id()
    if config.get("jobSchedule"):
        config["jobSchedule"] = {
            **config["jobSchedule"],
            "id": config["jobSchedule"].get("id") or server.state.next_id(),
        }


def shown(config: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in config.items() if name != "entity" and value is not None}


def _of_entity(server: Server, call: Call) -> list[dict[str, Any]]:
    entity = entity_of(server, call)
    with server.state.lock:
        return [c for c in server.state.collection("monitoring").values() if c["entity"] == entity]


def _one(server: Server, call: Call) -> dict[str, Any]:
    return _numbered(server, call, int(call.path["config"]))


def _numbered(server: Server, call: Call, number: object) -> dict[str, Any]:
    for config in _of_entity(server, call):
        if config["id"] == number:
            return config
    raise Refused(404, 270233, "Feature monitoring entity not found.", f"config: {number}")


def by_id(server: Server, call: Call) -> Answer:
    return shown(_one(server, call))


def by_name(server: Server, call: Call) -> Answer:
    for config in _of_entity(server, call):
        if config["name"] == call.path["name"]:
            return shown(config)
    raise Refused(404, 270233, "Feature monitoring entity not found.", f"config: {call.path['name']}")


def by_entity(server: Server, call: Call) -> Answer:
    return items([shown(config) for config in _of_entity(server, call)], call.url)


def by_feature(server: Server, call: Call) -> Answer:
    wanted = call.path["feature"]
    found = [
        config
        for config in _of_entity(server, call)
        if any(one.get("featureName") == wanted for one in config.get("featureStatisticsConfigs") or ())
    ]
    return items([shown(config) for config in found], call.url)


def update(server: Server, call: Call) -> Answer:
    fields = call.object()
    config = _numbered(server, call, fields.get("id"))
    with server.state.lock:
        config.update({name: value for name, value in fields.items() if name not in ("id", "jobName")})
        _number_parts(server, config)
    return shown(config)


def delete(server: Server, call: Call) -> Answer:
    config = _one(server, call)
    with server.state.lock:
        server.state.collection("monitoring").pop(config["id"], None)
        results = server.state.collection("monitoring results")
        for number in [n for n, r in results.items() if r["featureMonitoringConfigId"] == config["id"]]:
            del results[number]
        job = server.state.job_named(int(call.path["project"]), config["jobName"])
        if job is not None:
            server.state.jobs.pop(job.id, None)
    return None


def setup(server: Server, call: Call) -> Answer:
    """The job of a configuration, by the configuration's name."""
    for config in _of_entity(server, call):
        if config["name"] == call.path["name"]:
            job = server.state.job_named(int(call.path["project"]), config["jobName"])
            if job is not None:
                return job_fields(server, job)
    raise Refused(404, 270233, "Feature monitoring entity not found.", f"config: {call.path['name']}")


def trigger(server: Server, call: Call) -> Answer:
    """Runs the job of a configuration."""
    config = _one(server, call)
    job = server.state.job_named(int(call.path["project"]), config["jobName"])
    if job is None:
        raise Refused(404, 130009, "Job not found.", config["jobName"])
    server.jobs.start(job)
    return job_fields(server, job)


def results(server: Server, call: Call) -> Answer:
    """What the runs of a configuration found, newest first."""
    entity_of(server, call)
    with server.state.lock:
        known = server.state.collection("monitoring results").values()
        found = [r for r in known if r["featureMonitoringConfigId"] == int(call.path["config"])]
    for condition in call.repeated("filter_by"):
        name, _, value = condition.partition(":")
        if name == "monitoring_time_gte":
            found = [r for r in found if r["monitoringTime"] >= int(value)]
        elif name == "monitoring_time_lte":
            found = [r for r in found if r["monitoringTime"] <= int(value)]
    found.sort(key=lambda r: -int(r["monitoringTime"]))
    begun = int(call.query.get("offset", 0))
    limit = int(call.query.get("limit", len(found)) or len(found))
    whole = "statistics" in call.repeated("expand")
    return items([_result(r, whole=whole) for r in found[begun : begun + limit]], call.url)


def _result(result: dict[str, Any], *, whole: bool) -> dict[str, Any]:
    if whole:
        return result
    left_out = ("detectionStatistics", "referenceStatistics")
    parts = [{k: v for k, v in one.items() if k not in left_out} for one in result["featureStatisticsResults"]]
    return {**result, "featureStatisticsResults": parts}


def register_result(server: Server, call: Call) -> Answer:
    entity_of(server, call)
    with server.state.lock:
        number = server.state.next_id()
        result = {**call.object(), "id": number}
        server.state.collection("monitoring results")[number] = result
    return result
