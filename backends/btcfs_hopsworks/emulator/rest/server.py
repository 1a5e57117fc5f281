"""What every REST handler gets: the server behind it, and the call it answers."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import attrs
from starlette.responses import Response

from btcfs_hopsworks.emulator.call_log import CallLog
from btcfs_hopsworks.emulator.jobs import Jobs
from btcfs_hopsworks.emulator.knobs import Knobs
from btcfs_hopsworks.emulator.metadata import Group, Project, TrainingSet, View
from btcfs_hopsworks.emulator.planes import DataPlane
from btcfs_hopsworks.emulator.state import State


class Refused(Exception):
    """An answer with an error: an HTTP status, a Hopsworks error code and what was wrong."""

    def __init__(self, status: int, code: int, message: str, detail: str = "") -> None:
        super().__init__(f"{code} {message} {detail}".strip())
        self.status, self.code, self.message, self.detail = status, code, message, detail


@attrs.frozen
class Server:
    """The emulated server as REST handlers see it."""

    state: State
    knobs: Knobs
    calls: CallLog
    plane: DataPlane
    jobs: Jobs
    host: str
    url: str
    domain: str
    version: str


@attrs.frozen
class Call:
    """One request: the parts of its path, its query and its body."""

    path: Mapping[str, Any]
    query: Mapping[str, str]
    """The last value of each parameter."""
    repeated: Callable[[str], Sequence[str]]
    """All values of a parameter."""
    url: str
    body: bytes = b""
    headers: Mapping[str, str] = attrs.field(factory=dict)

    def json(self) -> Any:
        """The body; Refused if it is not JSON."""
        try:
            return json.loads(self.body or b"null")
        except ValueError as exc:
            raise Refused(400, 120004, "The request body is not JSON", str(exc)) from exc

    def object(self) -> dict[str, Any]:
        """The body, which must be a JSON object."""
        found = self.json()
        if not isinstance(found, dict):
            raise Refused(400, 120004, "The request body is not a JSON object", f"it is {type(found).__name__}")
        return found

    def flag(self, name: str) -> bool:
        return self.query.get(name, "false").lower() == "true"


Answer = dict[str, Any] | list[Any] | str | Response | None
Handler = Callable[[Server, Call], Answer]


def project_of(server: Server, call: Call) -> Project:
    """The project of the path; Refused if there is none."""
    found = server.state.projects.get(int(call.path["project"]))
    if found is None:
        raise Refused(404, 150004, "Project wasn't found.", f"projectId: {call.path['project']}")
    return found


def group_of(server: Server, call: Call) -> Group:
    """The feature group of the path; Refused if the project has no such group."""
    project = project_of(server, call)
    found = server.state.groups.get(int(call.path["group"]))
    if found is None or found.project_id != project.id:
        raise Refused(404, 270009, "Featuregroup wasn't found.", f"featureGroupId: {call.path['group']}")
    return found


def view_of(server: Server, call: Call) -> View:
    """The feature view of the path; Refused if the project has no such view."""
    project = project_of(server, call)
    name, version = call.path["view"], int(call.path["version"])
    for view in server.state.views_of(project.id, name):
        if view.version == version:
            return view
    raise Refused(404, 270181, "Feature view wasn't found.", f"feature view: {name}, version: {version}")


def training_set_of(server: Server, call: Call) -> TrainingSet:
    """The training dataset of the path; Refused if the view has no such version."""
    view, version = view_of(server, call), int(call.path["training"])
    for training_set in server.state.training_sets_of(view):
        if training_set.version == version:
            return training_set
    raise Refused(404, 270012, "Training dataset wasn't found.", f"{view.name} {view.version}, version: {version}")


def items(found: Sequence[Any], href: str | None = None) -> dict[str, Any]:
    """A list as the API answers it: ``count``, and ``items`` if there are any."""
    envelope: dict[str, Any] = {"href": href} if href else {}
    return {**envelope, "count": len(found), **({"items": list(found)} if found else {})}
