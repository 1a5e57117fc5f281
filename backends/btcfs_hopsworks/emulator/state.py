"""The one mutable thing of the emulated server: every entity by number, behind one lock."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

import attrs

from btcfs_hopsworks.emulator.metadata import (
    Commit,
    Execution,
    Group,
    Job,
    OnlineIngestion,
    Project,
    Tag,
    TrainingSet,
    View,
)

Entity = TypeVar("Entity")


def now_ms() -> int:
    """The time in epoch milliseconds."""
    return time.time_ns() // 1_000_000


@attrs.define
class State:
    """Everything the server has been told; hold ``lock`` around a read followed by a write.

    ``folder`` holds the files of the projects: ``/Projects/<name>/...`` of HopsFS is a path below it.
    """

    folder: Path
    api_key: str
    projects: dict[int, Project] = attrs.field(factory=dict)
    groups: dict[int, Group] = attrs.field(factory=dict)
    views: dict[int, View] = attrs.field(factory=dict)
    training_sets: dict[int, TrainingSet] = attrs.field(factory=dict)
    jobs: dict[int, Job] = attrs.field(factory=dict)
    executions: dict[int, Execution] = attrs.field(factory=dict)
    ingestions: dict[int, OnlineIngestion] = attrs.field(factory=dict)
    commits: dict[int, list[Commit]] = attrs.field(factory=dict)
    """By group number, oldest first."""
    tags: dict[str, dict[str, Tag]] = attrs.field(factory=dict)
    """By the path of the entity, then by name."""
    documents: dict[str, dict[Any, dict[str, Any]]] = attrs.field(factory=dict)
    """Entities that only REST knows (statistics, monitoring, models…), by collection and number."""
    lock: threading.RLock = attrs.field(factory=threading.RLock, repr=False)
    _numbers: Iterator[int] = attrs.field(factory=lambda: itertools.count(1), repr=False)

    def next_id(self) -> int:
        """A number no entity has yet."""
        with self.lock:
            return next(self._numbers)

    def project_named(self, name: str) -> Project | None:
        with self.lock:
            return next((p for p in self.projects.values() if p.name == name), None)

    def project_of(self, entity: Group | View | Job) -> Project:
        with self.lock:
            return self.projects[entity.project_id]

    def groups_of(self, project_id: int, name: str | None = None) -> tuple[Group, ...]:
        """The groups of a project, by name and version."""
        with self.lock:
            found = [g for g in self.groups.values() if g.project_id == project_id and name in (None, g.name)]
        return tuple(sorted(found, key=lambda g: (g.name, g.version)))

    def views_of(self, project_id: int, name: str | None = None) -> tuple[View, ...]:
        """The views of a project, by name and version."""
        with self.lock:
            found = [v for v in self.views.values() if v.project_id == project_id and name in (None, v.name)]
        return tuple(sorted(found, key=lambda v: (v.name, v.version)))

    def training_sets_of(self, view: View) -> tuple[TrainingSet, ...]:
        with self.lock:
            found = [t for t in self.training_sets.values() if t.view_id == view.id]
        return tuple(sorted(found, key=lambda t: t.version))

    def job_named(self, project_id: int, name: str) -> Job | None:
        with self.lock:
            return next((j for j in self.jobs.values() if (j.project_id, j.name) == (project_id, name)), None)

    def executions_of(self, job: Job) -> tuple[Execution, ...]:
        """The runs of a job, oldest first."""
        with self.lock:
            return tuple(e for e in self.executions.values() if e.job_id == job.id)

    def add_commit(self, group: Group, *, inserted: int, updated: int, deleted: int = 0) -> Commit:
        """Records that rows were committed now; commit times of a group strictly increase."""
        with self.lock:
            known = self.commits.setdefault(group.id, [])
            at = max(now_ms(), known[-1].committed_ms + 1 if known else 0)
            commit = Commit(at, at, inserted, updated, deleted)
            known.append(commit)
        return commit

    def next_commit_ms(self, group: Group) -> int:
        """The time to stamp on rows of a commit about to be recorded with ``record_commit``."""
        with self.lock:
            known = self.commits.get(group.id, [])
            return max(now_ms(), known[-1].committed_ms + 1 if known else 0)

    def record_commit(self, group: Group, commit: Commit) -> None:
        with self.lock:
            self.commits.setdefault(group.id, []).append(commit)

    def count_online(self, ingestion_id: int, status: str, rows: int = 1) -> None:
        """Adds rows to an ingestion under UPSERTED, DELETED, IGNORED or FAILED; unknown numbers are ignored."""
        with self.lock:
            known = self.ingestions.get(ingestion_id)
            if known is not None:
                counted = {**known.rows, status: known.rows.get(status, 0) + rows}
                self.ingestions[ingestion_id] = attrs.evolve(known, rows=counted)

    def collection(self, name: str) -> dict[Any, dict[str, Any]]:
        """The documents of one kind, by number; hold ``lock`` while using it."""
        with self.lock:
            return self.documents.setdefault(name, {})

    def file(self, path: str) -> Path:
        """Where the HopsFS path is on this machine; ``hopsfs://host:port`` before it is ignored.

        PermissionError if it points outside the emulated file system.
        """
        bare = path.split("://", 1)[-1]
        bare = bare[bare.find("/") :] if "://" in path else bare
        found = (self.folder / bare.lstrip("/")).resolve()
        if not found.is_relative_to(self.folder.resolve()):
            raise PermissionError(f"{path} is outside the emulated file system")
        return found


def replaced(entities: dict[int, Entity], number: int, **changes: Any) -> Entity:
    """Puts a changed copy of an entity in its place, and returns it."""
    # mypy knows evolve for one class at a time, not for a variable that stands for several.
    entities[number] = attrs.evolve(entities[number], **changes)  # type: ignore[misc]
    return entities[number]
