"""Training datasets of a view: described, read in memory by the client, or written to files by the cluster."""

from __future__ import annotations

import shutil
from typing import Any

import attrs

from btcfs_hopsworks.emulator.instants import iso
from btcfs_hopsworks.emulator.metadata import TrainingSet, View
from btcfs_hopsworks.emulator.rest import tags
from btcfs_hopsworks.emulator.rest.jobs import job_fields
from btcfs_hopsworks.emulator.rest.server import (
    Answer,
    Call,
    Refused,
    Server,
    items,
    project_of,
    training_set_of,
    view_of,
)
from btcfs_hopsworks.emulator.state import now_ms

IN_MEMORY = "IN_MEMORY_TRAINING_DATASET"
KINDS = (IN_MEMORY, "HOPSFS_TRAINING_DATASET")
FORMATS = ("parquet", "csv", "tsv")


def create(server: Server, call: Call) -> Answer:
    view, fields = view_of(server, call), call.object()
    kind = fields.get("trainingDatasetType") or KINDS[1]
    if kind not in KINDS:
        raise Refused(400, 270024, "Illegal training dataset type", f"{kind!r}; expected one of {', '.join(KINDS)}")
    data_format = str(fields.get("dataFormat") or "parquet").lower()
    if kind != IN_MEMORY and data_format not in FORMATS:
        raise Refused(400, 270057, "Illegal data format", f"{data_format!r}; the emulator has {', '.join(FORMATS)}")
    _check_splits(fields.get("splits") or ())
    project = server.state.project_of(view)
    with server.state.lock:
        known = server.state.training_sets_of(view)
        version = int(fields.get("version") or 1 + max((t.version for t in known), default=0))
        if any(t.version == version for t in known):
            raise Refused(400, 270053, "The training dataset already exists", f"{view.name}, version {version}")
        found = TrainingSet(
            id=server.state.next_id(),
            view_id=view.id,
            version=version,
            in_memory=kind == IN_MEMORY,
            data_format=data_format,
            location=f"/Projects/{project.name}/{project.name}_Training_Datasets/{view.name}_{view.version}_{version}",
            created_ms=now_ms(),
            body=fields,
        )
        server.state.training_sets[found.id] = found
    described = fields.get("tags") or {}
    for tag in described.get("items", ()) if isinstance(described, dict) else described:
        tags.keep(server, f"trainingdatasets/{found.id}", tag["name"], tag["value"])
    return fields_of(server, view, found, call.url)


def _check_splits(splits: Any) -> None:
    for split in splits:
        share, kind = split.get("percentage"), split.get("splitType")
        if kind == "RANDOM_SPLIT" and not (isinstance(share, (int, float)) and 0 < share <= 1):
            raise Refused(400, 270098, "Illegal split", f"split {split.get('name')!r} has share {share!r}")


def fields_of(server: Server, view: View, found: TrainingSet, href: str | None = None) -> dict[str, Any]:
    """A training dataset as the API answers it: ``created`` tells the client that it comes from the server."""
    project, body = server.state.project_of(view), found.body
    statistics = {"enabled": True, "histograms": True, "correlations": False, "exactUniqueness": False, "columns": []}
    connector = {
        "type": "featurestoreHopsfsConnectorDTO",
        "storageConnectorType": "HOPSFS",
        "id": 3,
        "name": f"{project.name}_Training_Datasets",
        "featurestoreId": project.featurestore_id,
        "hopsfsPath": f"/Projects/{project.name}/{project.name}_Training_Datasets",
    }
    optional = ("seed", "trainSplit", "eventStartTime", "eventEndTime", "extraFilter", "lookback", "spineAnchored")
    return {
        "type": "trainingDatasetDTO",
        **({"href": href} if href else {}),
        "id": found.id,
        "name": f"{view.name}_{view.version}",
        "version": found.version,
        "description": body.get("description") or "",
        "created": iso(found.created_ms),
        "creator": {"email": "user@localhost", "firstName": "Local", "lastName": "User"},
        "featurestoreId": project.featurestore_id,
        "featurestoreName": project.featurestore,
        "dataFormat": found.data_format,
        "coalesce": bool(body.get("coalesce")),
        "trainingDatasetType": IN_MEMORY if found.in_memory else KINDS[1],
        "location": found.location,
        "splits": [split for split in body.get("splits") or ()],
        "statisticsConfig": {**statistics, **(body.get("statisticsConfig") or {})},
        "dataSource": {**(body.get("dataSource") or {}), "storageConnector": connector},
        **{name: body[name] for name in optional if body.get(name) is not None},
    }


def one(server: Server, call: Call) -> Answer:
    return fields_of(server, view_of(server, call), training_set_of(server, call), call.url)


def listed(server: Server, call: Call) -> Answer:
    view = view_of(server, call)
    return items([fields_of(server, view, found) for found in server.state.training_sets_of(view)], call.url)


def delete(server: Server, call: Call) -> Answer:
    """One version, or all of them."""
    for found in _named(server, call):
        forget(server, found)
    return None


def delete_data(server: Server, call: Call) -> Answer:
    """The files of one version or of all; what is known of them stays."""
    for found in _named(server, call):
        shutil.rmtree(server.state.file(found.location), ignore_errors=True)
    return None


def _named(server: Server, call: Call) -> tuple[TrainingSet, ...]:
    if "training" in call.path:
        return (training_set_of(server, call),)
    return server.state.training_sets_of(view_of(server, call))


def forget(server: Server, found: TrainingSet) -> None:
    """Deletes a training dataset with its files, tags and statistics."""
    shutil.rmtree(server.state.file(found.location), ignore_errors=True)
    with server.state.lock:
        server.state.training_sets.pop(found.id, None)
        server.state.tags.pop(f"trainingdatasets/{found.id}", None)
        statistics = server.state.collection("statistics")
        for number in [n for n, s in statistics.items() if s["entity"] == f"trainingdatasets/{found.id}"]:
            del statistics[number]


def update(server: Server, call: Call) -> Answer:
    found, fields = training_set_of(server, call), call.object()
    kept: dict[str, Any] = {name: fields[name] for name in ("description", "statisticsConfig") if name in fields}
    after = attrs.evolve(found, body={**found.body, **kept})
    with server.state.lock:
        server.state.training_sets[found.id] = after
    return fields_of(server, view_of(server, call), after, call.url)


def compute(server: Server, call: Call) -> Answer:
    """Starts the job that writes the files; the body says which query and how."""
    project, view, found = project_of(server, call), view_of(server, call), training_set_of(server, call)
    target = {"training_set": found.id, "conf": call.object()}
    name = f"{view.name}_{view.version}_create_fv_td_{found.version}"
    job = server.jobs.define(project.id, name, "training_set", target)
    server.jobs.start(job)
    return job_fields(server, job)
