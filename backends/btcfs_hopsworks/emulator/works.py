"""What the jobs of the emulated cluster do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from btcfs_hopsworks.emulator import monitoring_jobs, statistics_jobs, training_files
from btcfs_hopsworks.emulator.jobs import JobFailed, Work
from btcfs_hopsworks.emulator.metadata import Group, TrainingSet, View
from btcfs_hopsworks.emulator.planes import DataPlane
from btcfs_hopsworks.emulator.state import State

Target = Mapping[str, Any]


@attrs.frozen
class Works:
    """The work of each kind of job; each takes the job's target and returns what it prints."""

    state: State
    plane: DataPlane

    def by_kind(self) -> dict[str, Work]:
        return {
            "materialise": self._materialise,
            "alter": self._alter,
            "statistics": self._statistics,
            "training_set": self._training_set,
            "monitoring": self._monitoring,
        }

    def _materialise(self, target: Target) -> str:
        commit = self.plane.materialise(self._group(target))
        return "nothing to write" if commit is None else f"inserted {commit.inserted}, updated {commit.updated}"

    def _alter(self, target: Target) -> str:
        # The columns are added with the metadata; the cluster's job only has to end after that.
        return f"altered {self._group(target).table}"

    def _statistics(self, target: Target) -> str:
        if "group" in target:
            statistics_jobs.compute_group(
                self.state, self.plane, self._group(target), target.get("start"), target.get("end")
            )
        else:
            statistics_jobs.compute_training_set(self.state, self.plane, *self._training(target))
        return "statistics computed"

    def _training_set(self, target: Target) -> str:
        view, found = self._training(target)
        written = training_files.write(self.state, self.plane, view, found, target["conf"]["query"])
        return ", ".join(f"{folder}: {rows} rows" for folder, rows in written.items())

    def _monitoring(self, target: Target) -> str:
        with self.state.lock:
            config = self.state.collection("monitoring").get(target["config"])
        if config is None:
            raise JobFailed(f"feature monitoring configuration {target['config']} is gone")
        found = monitoring_jobs.run(self.state, self.plane, config)
        return f"shifted: {', '.join(found['shiftedFeatureNames']) or 'none'}"

    def _group(self, target: Target) -> Group:
        found = self.state.groups.get(int(target["group"]))
        if found is None:
            raise JobFailed(f"feature group {target['group']} is gone")
        return found

    def _training(self, target: Target) -> tuple[View, TrainingSet]:
        found = self.state.training_sets.get(int(target["training_set"]))
        view = self.state.views.get(found.view_id) if found is not None else None
        if found is None or view is None:
            raise JobFailed(f"training dataset {target['training_set']} is gone")
        return view, found
