"""What the jobs of the emulated cluster do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

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

    jobs.works.update(materialise=materialise, alter=alter)
