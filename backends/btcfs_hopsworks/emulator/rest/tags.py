"""Tags of groups, views, training datasets and models: names with JSON text."""

from __future__ import annotations

import json
from typing import Any

from btcfs_hopsworks.emulator.metadata import Tag
from btcfs_hopsworks.emulator.rest.server import (
    Answer,
    Call,
    Refused,
    Server,
    group_of,
    items,
    training_set_of,
    view_of,
)


def keep(server: Server, entity: str, name: str, value: Any) -> None:
    text = value if isinstance(value, str) else json.dumps(value)
    with server.state.lock:
        server.state.tags.setdefault(entity, {})[name] = Tag(name, text)


def fields_of(tag: Tag) -> dict[str, Any]:
    return {"name": tag.name, "value": tag.value}


def entity_of(server: Server, call: Call) -> str:
    """The path of the entity whose tags are asked for; Refused if it is not there."""
    if "group" in call.path:
        return f"featuregroups/{group_of(server, call).id}"
    if "training" in call.path:
        return f"trainingdatasets/{training_set_of(server, call).id}"
    if "view" in call.path:
        return f"featureview/{view_of(server, call).id}"
    return f"models/{call.path['project']}/{call.path['model']}"


def listed(server: Server, call: Call) -> Answer:
    entity = entity_of(server, call)
    with server.state.lock:
        found = [fields_of(tag) for tag in server.state.tags.get(entity, {}).values()]
    return items(found, call.url)


def one(server: Server, call: Call) -> Answer:
    entity, name = entity_of(server, call), call.path["tag"]
    with server.state.lock:
        tag = server.state.tags.get(entity, {}).get(name)
    if tag is None:
        raise Refused(404, 370002, "The provided tag does not exist.", f"tag: {name}")
    return items([fields_of(tag)], call.url)


def put(server: Server, call: Call) -> Answer:
    entity = entity_of(server, call)
    text = call.body.decode()
    try:
        json.loads(text)
    except ValueError as exc:
        raise Refused(400, 370004, "The tag value is not JSON.", str(exc)) from exc
    keep(server, entity, call.path["tag"], text)
    return listed(server, call)


def delete(server: Server, call: Call) -> Answer:
    entity = entity_of(server, call)
    with server.state.lock:
        tags = server.state.tags.get(entity, {})
        if "tag" in call.path:
            tags.pop(call.path["tag"], None)
        else:
            tags.clear()
    return None
