"""The model registry: what is known of each model; its files are in the project's Models folder."""

from __future__ import annotations

import shutil
from typing import Any

from btcfs_hopsworks.emulator.rest.server import Answer, Call, Refused, Server, items, project_of
from btcfs_hopsworks.emulator.state import now_ms


def registries(server: Server, call: Call) -> Answer:
    project = project_of(server, call)
    return items([{"id": project.id, "name": project.name, "parentProject": {"id": project.id, "name": project.name}}])


def _found(server: Server, call: Call) -> dict[str, Any]:
    with server.state.lock:
        model = server.state.collection("models").get((call.path["project"], call.path["model"]))
    if model is None:
        raise Refused(404, 360000, "Model not found.", f"model: {call.path['model']}")
    return model


def put(server: Server, call: Call) -> Answer:
    """Registers a model, or changes what is known of it."""
    project, fields, name = project_of(server, call), call.object(), call.path["model"]
    if f"{fields.get('name')}_{fields.get('version')}" != name:
        raise Refused(400, 360001, "Model properties are invalid.", f"the path says {name}, the body another model")
    with server.state.lock:
        models = server.state.collection("models")
        known = models.get((project.id, name), {"created": now_ms()})
        model = {**known, **{key: value for key, value in fields.items() if value is not None}}
        models[project.id, name] = model
    return _fields(server, call, model)


def _fields(server: Server, call: Call, model: dict[str, Any]) -> dict[str, Any]:
    project = project_of(server, call)
    view = model.get("featureView")
    return {
        "href": call.url,
        "id": f"{model['name']}_{model['version']}",
        "name": model["name"],
        "version": model["version"],
        "created": model["created"],
        "creator": "Local User",
        "userFullName": "Local User",
        "projectName": project.name,
        "experimentProjectName": project.name,
        "modelRegistryId": project.id,
        "description": model.get("description") or "",
        **({"framework": model["framework"]} if model.get("framework") else {}),
        "metrics": model.get("metrics") or {},
        **({"environment": model["environment"]} if model.get("environment") else {}),
        **({"program": model["program"]} if model.get("program") else {}),
        **({"modelSchema": model["modelSchema"]} if model.get("modelSchema") else {}),
        **({"inputExample": model["inputExample"]} if model.get("inputExample") else {}),
        **({"featureView": view} if view else {}),
        "trainingDatasetVersion": model.get("trainingDatasetVersion") or 0,
    }


def one(server: Server, call: Call) -> Answer:
    return _fields(server, call, _found(server, call))


def listed(server: Server, call: Call) -> Answer:
    """The models of a name, sorted by a metric if asked for."""
    project = project_of(server, call)
    with server.state.lock:
        found = [m for (owner, _), m in server.state.collection("models").items() if owner == project.id]
    for condition in call.repeated("filter_by"):
        name, _, value = condition.partition(":")
        if name == "name_eq":
            found = [m for m in found if m["name"] == value]
    metric, _, direction = call.query.get("sort_by", "").partition(":")
    if metric:
        found = [m for m in found if metric in (m.get("metrics") or {})]
        found.sort(key=lambda m: float(m["metrics"][metric]), reverse=direction.lower() == "desc")
    shown = found[: int(call.query.get("limit", len(found)) or len(found))]
    return items([_fields(server, call, model) for model in shown], call.url)


def delete(server: Server, call: Call) -> Answer:
    project, model = project_of(server, call), _found(server, call)
    with server.state.lock:
        server.state.collection("models").pop((project.id, call.path["model"]), None)
        server.state.tags.pop(f"models/{project.id}/{call.path['model']}", None)
    folder = server.state.file(f"/Projects/{project.name}/Models/{model['name']}/{model['version']}")
    shutil.rmtree(folder, ignore_errors=True)
    return None


def provenance(server: Server, call: Call) -> Answer:
    """The emulator keeps no link between a model and its training data beyond what the model's fields say."""
    _found(server, call)
    return {"upstream": [], "downstream": []}
