"""The RonDB REST server of the emulator: feature vectors by key over HTTPS, as ``init_rest_client=True`` reads them."""

from __future__ import annotations

import base64
import socket
import threading
import time
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import attrs
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from btcfs_hopsworks.emulator.asgi_faults import Faulty
from btcfs_hopsworks.emulator.call_log import CallLog
from btcfs_hopsworks.emulator.knobs import Knobs
from btcfs_hopsworks.emulator.metadata import Group, ServingKey, View
from btcfs_hopsworks.emulator.online_tables import OnlineTables, Row
from btcfs_hopsworks.emulator.state import State

PORT = 4406


@attrs.frozen
class Read:
    """What one group contributes to a vector: how its row is found, and which places of the vector it fills."""

    group: Group
    keys: tuple[ServingKey, ...]
    """In the order of the group's primary key."""
    places: tuple[tuple[int, str], ...]
    """Place in the vector, and the group's feature there."""


@attrs.frozen
class Plan:
    """How the vectors of a view are read."""

    width: int
    reads: tuple[Read, ...]
    echoed: tuple[tuple[int, ServingKey], ...]
    """Places that hold a key, which is known even where there is no row."""
    names: tuple[str, ...]
    types: tuple[str, ...]


def plan_of(state: State, view: View) -> Plan:
    """The plan of a view: all its features but labels, in order."""
    served = [feature for feature in sorted(view.features, key=lambda f: f.index) if not feature.label]
    reads, echoed = [], []
    for number, group_id in dict.fromkeys((f.join_index, f.group_id) for f in served):
        group = state.groups[group_id]
        keys = {key.feature: key for key in view.serving_keys if key.join_index == number}
        places = [
            (place, f.feature) for place, f in enumerate(served) if (f.join_index, f.group_id) == (number, group_id)
        ]
        reads.append(Read(group, tuple(keys[name] for name in group.primary_key if name in keys), tuple(places)))
        echoed += [(place, keys[name]) for place, name in places if name in keys]
    return Plan(len(served), tuple(reads), tuple(echoed), tuple(f.name for f in served), tuple(f.type for f in served))


def key_values(read: Read, entry: Mapping[str, Any]) -> Row | None:
    """The primary key of a group's row; None if the entry does not have all of it."""
    found = tuple(_key_value(key, entry) for key in read.keys)
    return None if None in found or not found else found


def _key_value(key: ServingKey, entry: Mapping[str, Any]) -> Any:
    for name in (key.name, None if key.required else key.join_on, key.feature):
        if name is not None and name in entry:
            return entry[name]
    return None


def vectors(
    plan: Plan, database: str, tables: OnlineTables, entries: Sequence[Mapping[str, Any]]
) -> list[tuple[list[Any], str, list[dict[str, Any]]]]:
    """For each entry its vector, its status and the status of each group's read, in the order asked."""
    answers: list[tuple[list[Any], str, list[dict[str, Any]]]] = [
        ([None] * plan.width, "COMPLETE", []) for _ in entries
    ]
    for vector, entry in zip(answers, entries, strict=True):
        for place, key in plan.echoed:
            vector[0][place] = _key_value(key, entry)
    for number, read in enumerate(plan.reads):
        asked = [key_values(read, entry) for entry in entries]
        rows = iter(tables.read(database, read.group, [key for key in asked if key is not None]))
        columns = {feature.name: place for place, feature in enumerate(read.group.online_features)}
        kinds = {feature.name: feature.type for feature in read.group.features}
        for place, values_asked in enumerate(asked):
            values, status, details = answers[place]
            row = None if values_asked is None else next(rows)
            detail = {"featureGroupId": read.group.id, "operationId": str(number), "httpStatus": 200, "message": ""}
            if row is None:
                status, detail = "MISSING", {**detail, "httpStatus": 404, "message": "Not Found"}
            else:
                for target, name in read.places:
                    values[target] = as_json(kinds[name], row[columns[name]])
            answers[place] = values, status, [*details, detail]
    return answers


def as_json(kind: str, value: Any) -> Any:
    """An online value as the server writes it: instants, dates and decimals as text, bytes as base64."""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, datetime):
        return value.isoformat(" ")
    if isinstance(value, (date, Decimal)):
        return str(value)
    return bool(value) if kind == "boolean" and value is not None else value


@attrs.define
class VectorServer:
    """A running server; ``close`` ends it."""

    _server: uvicorn.Server
    _thread: threading.Thread

    def close(self) -> None:
        self._server.should_exit = self._server.force_exit = True
        self._thread.join(5)


def application(state: State, tables: OnlineTables) -> Starlette:
    """The routes ``ping``, ``feature_store`` and ``batch_feature_store`` below ``/0.1.0``."""

    async def ping(request: Request) -> Response:
        return PlainTextResponse("")

    async def lookup(request: Request) -> Response:
        return _answer(state, tables, request, await request.json())

    return Starlette(
        routes=[
            Route("/0.1.0/ping", ping),
            Route("/0.1.0/feature_store", lookup, methods=["POST"]),
            Route("/0.1.0/batch_feature_store", lookup, methods=["POST"]),
        ]
    )


def _answer(state: State, tables: OnlineTables, request: Request, body: Mapping[str, Any]) -> Response:
    if request.headers.get("x-api-key") != state.api_key:
        return JSONResponse({"code": 12, "message": "Unauthorized", "reason": "wrong X-API-KEY"}, 401)
    project = state.project_named(body["featureStoreName"].removesuffix("_featurestore"))
    view = None
    if project is not None:
        versions = state.views_of(project.id, body["featureViewName"])
        view = next((view for view in versions if view.version == body["featureViewVersion"]), None)
    if project is None or view is None:
        return JSONResponse({"code": 1, "message": "Feature store or view does not exist.", "reason": ""}, 400)
    plan = plan_of(state, view)
    single = not request.url.path.endswith("batch_feature_store")
    entries = [body["entries"]] if single else body["entries"]
    passed = body.get("passedFeatures") or []
    given = [passed or {}] if single else (passed or [{}] * len(entries))
    found = vectors(plan, project.online_database, tables, entries)
    for (values, _, _), extra in zip(found, given, strict=True):
        for name, value in extra.items():
            if name in plan.names:
                values[plan.names.index(name)] = value
    options = body.get("options") or {}
    details = [detail for _, _, detail in found] if options.get("includeDetailedStatus") else None
    return JSONResponse(
        {
            "features": found[0][0] if single else [values for values, _, _ in found],
            "status": found[0][1] if single else [status for _, status, _ in found],
            "metadata": _metadata(plan, body.get("metadataOptions")),
            "detailedStatus": details[0] if single and details else details,
        }
    )


def _metadata(plan: Plan, options: Mapping[str, Any] | None) -> list[dict[str, str | None]] | None:
    if not options:
        return None
    return [
        {
            "featureName": name if options.get("featureName") else None,
            "featureType": kind if options.get("featureType") else None,
        }
        for name, kind in zip(plan.names, plan.types, strict=True)
    ]


def serve(
    certificate: tuple[Path, Path],
    state: State,
    tables: OnlineTables,
    knobs: Knobs,
    calls: CallLog,
    host: str,
    port: int = PORT,
) -> VectorServer:
    """Starts to listen in a thread of its own and returns once it does. OSError if the port is taken."""
    config = uvicorn.Config(
        Faulty(application(state, tables), "rdrs", knobs, calls),
        ssl_certfile=str(certificate[0]),
        ssl_keyfile=str(certificate[1]),
        log_level="error",
        log_config=None,
        access_log=False,
        lifespan="off",
    )
    server, listening = uvicorn.Server(config), socket.create_server((host, port))
    thread = threading.Thread(target=server.run, args=([listening],), name="emulator-rdrs", daemon=True)
    thread.start()
    deadline = time.monotonic() + 10.0
    while not server.started:
        if not thread.is_alive() or time.monotonic() > deadline:
            raise OSError(f"cannot listen on {host}:{port}")
        time.sleep(0.005)
    return VectorServer(server, thread)
