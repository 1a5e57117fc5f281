"""What the emulated server knows about each entity, as frozen values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

TIME_TRAVEL_FORMATS = ("HUDI", "DELTA", "ICEBERG")


@attrs.frozen
class Project:
    """One project, which owns one feature store with the same number plus 1000."""

    id: int
    name: str
    username: str = "local000"

    @property
    def featurestore_id(self) -> int:
        return self.id + 1000

    @property
    def featurestore(self) -> str:
        return f"{self.name.lower()}_featurestore"

    @property
    def online_database(self) -> str:
        return self.name.lower()


@attrs.frozen
class Feature:
    """A column of a feature group: ``type`` is the Hive type, ``online_type`` the MySQL one."""

    name: str
    type: str
    online_type: str | None = None
    description: str | None = None
    primary: bool = False
    foreign: bool = False
    partition: bool = False
    precombine: bool = False
    offline_only: bool = False
    on_demand: bool = False
    default: str | None = None


@attrs.frozen
class Group:
    """One version of a feature group; ``body`` is the DTO as last written by the client."""

    id: int
    project_id: int
    name: str
    version: int
    features: tuple[Feature, ...]
    event_time: str | None
    online_enabled: bool
    time_travel_format: str
    """HUDI, DELTA, ICEBERG or NONE."""
    kind: str
    """streamFeatureGroupDTO, cachedFeaturegroupDTO or onDemandFeaturegroupDTO."""
    topic: str
    """The Kafka topic of its rows, which several groups of a project share."""
    subject_id: int
    """The number of its Avro schema, which messages carry in the header ``subjectId``."""
    created_ms: int
    body: Mapping[str, Any] = attrs.field(factory=dict, repr=False)

    @property
    def table(self) -> str:
        """The name of its tables, in the warehouse schema ``Project.featurestore`` and in MySQL."""
        return f"{self.name}_{self.version}"

    @property
    def history_table(self) -> str:
        """The warehouse table of every row ever committed: the features, ``_commit_ms``, ``_deleted``."""
        return f"{self.table}__history"

    @property
    def primary_key(self) -> tuple[str, ...]:
        return tuple(f.name for f in self.features if f.primary)

    @property
    def row_key(self) -> tuple[str, ...]:
        """What makes a row offline: primary key, event time and partition key."""
        names = [*self.primary_key, *([self.event_time] if self.event_time else [])]
        return tuple(dict.fromkeys([*names, *(f.name for f in self.features if f.partition)]))

    @property
    def online_features(self) -> tuple[Feature, ...]:
        """The features with a column in MySQL."""
        return tuple(f for f in self.features if not (f.offline_only or f.on_demand))


@attrs.frozen
class Commit:
    """One materialisation: when it was committed, in epoch milliseconds, and how many rows it touched."""

    id: int
    committed_ms: int
    inserted: int
    updated: int
    deleted: int = 0


@attrs.frozen
class OnlineIngestion:
    """How far one insert has come in the online store; ``rows`` counts them by status."""

    id: int
    group_id: int
    entries: int
    rows: Mapping[str, int] = attrs.field(factory=dict)
    """By UPSERTED, DELETED, IGNORED or FAILED."""


@attrs.frozen
class ViewFeature:
    """One feature of a view: its name there, and where it comes from."""

    name: str
    type: str
    feature: str
    """Its name in the feature group."""
    group_id: int
    index: int
    join_index: int = 0
    prefix: str | None = None
    label: bool = False
    inference_helper: bool = False
    training_helper: bool = False


@attrs.frozen
class ServingKey:
    """One part of the key that looks up vectors; ``join_on`` names the left feature that gives its value."""

    feature: str
    group_id: int
    join_index: int
    prefix: str | None = None
    required: bool = True
    join_on: str | None = None

    @property
    def name(self) -> str:
        return f"{self.prefix or ''}{self.feature}"


@attrs.frozen
class View:
    """One version of a feature view; ``query`` is its QueryDTO, ``body`` the DTO as last written."""

    id: int
    project_id: int
    name: str
    version: int
    query: Mapping[str, Any] = attrs.field(repr=False)
    features: tuple[ViewFeature, ...]
    serving_keys: tuple[ServingKey, ...]
    created_ms: int
    body: Mapping[str, Any] = attrs.field(factory=dict, repr=False)


@attrs.frozen
class TrainingSet:
    """One training dataset of a view; ``location`` is its folder if it was materialised."""

    id: int
    view_id: int
    version: int
    in_memory: bool
    data_format: str
    location: str
    created_ms: int
    body: Mapping[str, Any] = attrs.field(factory=dict, repr=False)


@attrs.frozen
class Job:
    """Something the cluster runs: ``kind`` names the work, ``target`` the entities it works on."""

    id: int
    project_id: int
    name: str
    kind: str
    """materialise, statistics, training_set, monitoring or alter."""
    target: Mapping[str, Any]
    created_ms: int


@attrs.frozen
class Execution:
    """One run of a job."""

    id: int
    job_id: int
    args: str
    submitted_ms: int
    state: str = "INITIALIZING"
    final_status: str = "UNDEFINED"
    ended_ms: int | None = None
    stdout: str = ""
    stderr: str = ""


@attrs.frozen
class Tag:
    """One tag; ``value`` is JSON text."""

    name: str
    value: str
