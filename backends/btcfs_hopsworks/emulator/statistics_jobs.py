"""Statistics that the cluster computes: of a feature group at a commit, or of a written training dataset."""

from __future__ import annotations

from typing import Any

from btcfs_hopsworks.emulator.descriptive import describe
from btcfs_hopsworks.emulator.metadata import Feature, Group, TrainingSet, View
from btcfs_hopsworks.emulator.offline_sql import offline_sql
from btcfs_hopsworks.emulator.planes import DataPlane
from btcfs_hopsworks.emulator.queries import Column, Part, Plan
from btcfs_hopsworks.emulator.state import State, now_ms


def group_rows(state: State, group: Group, start_ms: int | None = None, end_ms: int | None = None) -> str:
    """A FROM item: the rows of a group as of a commit, or those changed since another one."""
    columns = tuple(Column(f.name, f.name) for f in group.features)
    part = Part(0, group, columns, commits_from_ms=start_ms, commits_to_ms=end_ms)
    return f"({offline_sql(Plan(state.project_of(group), (part,)))})"


def compute_group(
    state: State, plane: DataPlane, group: Group, start_ms: int | None, end_ms: int | None
) -> dict[str, Any]:
    """Computes and keeps the statistics of a group; ``end_ms`` is the commit they are for."""
    with state.lock:
        known = state.commits.get(group.id, [])
    if end_ms is None:
        end_ms = known[-1].committed_ms if known else None
    config = group.body.get("statisticsConfig") or {}
    found = {
        "entity": f"featuregroups/{group.id}",
        "computationTime": now_ms(),
        "rowPercentage": 1.0,
        "beforeTransformation": False,
        "featureGroupId": group.id,
        **({"windowStartCommitTime": start_ms} if start_ms else {}),
        **({"windowEndCommitTime": end_ms} if end_ms else {}),
        "featureDescriptiveStatistics": describe(
            plane, group_rows(state, group, start_ms, end_ms), group.features, config
        ),
    }
    return keep(state, found)


def compute_training_set(state: State, plane: DataPlane, view: View, found: TrainingSet) -> dict[str, Any]:
    """Computes and keeps the statistics of the files of a training dataset, for each split or for the whole."""
    features = [Feature(f.name, f.type) for f in view.features]
    splits = [split["name"] for split in found.body.get("splits") or ()]
    kept: dict[str, Any] = {
        "entity": f"trainingdatasets/{found.id}",
        "computationTime": now_ms(),
        "rowPercentage": 1.0,
        "beforeTransformation": False,
        "featureViewName": view.name,
        "featureViewVersion": view.version,
        "trainingDatasetVersion": found.version,
    }
    config = found.body.get("statisticsConfig") or {}
    described = {
        folder: describe(plane, _files(state, found, folder), features, config)
        for folder in splits or [f"{view.name}_{view.version}"]
    }
    if splits:
        kept["splitStatistics"] = [
            {"name": name, "featureDescriptiveStatistics": content} for name, content in described.items()
        ]
    else:
        kept["featureDescriptiveStatistics"] = next(iter(described.values()))
    return keep(state, kept)


def _files(state: State, found: TrainingSet, folder: str) -> str:
    pattern = str(state.file(f"{found.location}/{folder}") / f"*.{found.data_format}").replace("'", "''")
    return f"read_parquet('{pattern}')" if found.data_format == "parquet" else f"read_csv('{pattern}')"


def keep(state: State, statistics: dict[str, Any]) -> dict[str, Any]:
    """Puts statistics with those known, and returns them."""
    with state.lock:
        state.collection("statistics")[state.next_id()] = statistics
    return statistics
