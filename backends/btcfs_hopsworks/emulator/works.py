"""What the jobs of the emulated cluster do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from btcfs_hopsworks.emulator import monitoring_jobs, statistics_jobs, training_files
from btcfs_hopsworks.emulator.jobs import JobFailed, Jobs
from btcfs_hopsworks.emulator.metadata import Group
from btcfs_hopsworks.emulator.planes import DataPlane
from btcfs_hopsworks.emulator.state import State


def define_works(jobs: Jobs, state: State, plane: DataPlane) -> None:
    """Gives the jobs the work of the feature store."""

    def group(target: Mapping[str, Any]) -> Group:
        found = state.groups.get(int(target["group"]))
        if found is None:
            raise JobFailed(f"feature group {target['group']} is gone")
        return found

    def materialise(target: Mapping[str, Any]) -> str:
        commit = plane.materialise(group(target))
        return "nothing to write" if commit is None else f"inserted {commit.inserted}, updated {commit.updated}"

    def alter(target: Mapping[str, Any]) -> str:
        # The columns are added with the metadata; the cluster's job only has to end after that.
        return f"altered {group(target).table}"

    def training_set(target: Mapping[str, Any]) -> str:
        found = state.training_sets.get(int(target["training_set"]))
        if found is None or found.view_id not in state.views:
            raise JobFailed(f"training dataset {target['training_set']} is gone")
        written = training_files.write(state, plane, state.views[found.view_id], found, target["conf"]["query"])
        return ", ".join(f"{folder}: {rows} rows" for folder, rows in written.items())

    def statistics(target: Mapping[str, Any]) -> str:
        if "group" in target:
            statistics_jobs.compute_group(state, plane, group(target), target.get("start"), target.get("end"))
        else:
            found = state.training_sets[int(target["training_set"])]
            statistics_jobs.compute_training_set(state, plane, state.views[found.view_id], found)
        return "statistics computed"

    def monitoring(target: Mapping[str, Any]) -> str:
        with state.lock:
            config = state.collection("monitoring").get(target["config"])
        if config is None:
            raise JobFailed(f"feature monitoring configuration {target['config']} is gone")
        found = monitoring_jobs.run(state, plane, config)
        return f"shifted: {', '.join(found['shiftedFeatureNames']) or 'none'}"

    jobs.works.update(
        materialise=materialise, alter=alter, training_set=training_set, statistics=statistics, monitoring=monitoring
    )
