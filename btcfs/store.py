"""The FeatureStore protocol: what a backend is, and the values it takes and returns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from enum import Enum
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import attrs
import msgspec

from btcfs.definitions import Definition, FeatureGroup, FeatureView

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    Floats = np.ndarray[Any, np.dtype[np.float64]]


class Capability(str, Enum):
    """What a backend may lack; whatever is not listed here, every backend does."""

    WRITE = "write"  # apply and write; without it the store is read-only
    SCAN = "scan"  # read: every row of a group in a range of event time
    ONLINE = "online"  # get_online_features
    TIME_TRAVEL = "time_travel"  # as_of, commits and changes
    DELETE = "delete"  # delete a definition and its rows


@attrs.frozen
class Commit:
    """One commit of a group: its name and its knowledge time, from when on its rows are known.

    ``rows`` is how many it wrote, if the store says so; it is no part of what makes two commits equal.
    """

    id: str
    committed_at: datetime
    rows: int | None = attrs.field(default=None, eq=False)


@attrs.frozen
class WriteReport:
    """What one write did; counts are rows.

    ``commit_id`` is None if nothing changed, for then nothing was committed. ``start`` and ``end``
    are the first and last event time among the rows given, None if there was none. Reading with
    ``as_of=committed_at`` gives the store right after this commit.
    """

    group: str
    version: int
    inserted: int
    updated: int
    unchanged: int
    commit_id: str | None = None
    committed_at: datetime | None = None
    start: datetime | None = None
    end: datetime | None = None

    @property
    def changed(self) -> int:
        return self.inserted + self.updated

    def to_dict(self) -> dict[str, Any]:
        content = attrs.asdict(self)
        return {k: v.isoformat() if isinstance(v, datetime) else v for k, v in content.items()}


@attrs.frozen
class Summary:
    """How much a group holds: rows, and the first and last event time (None if empty)."""

    rows: int
    start: datetime | None = None
    end: datetime | None = None


class FeatureVector(msgspec.Struct, frozen=True, eq=False):
    """One model input: float64 ``values`` in the view's order, NaN where nothing was known.

    ``event_time`` is when the newest of its rows became known; ``source`` names the backend that
    answered; ``fingerprint`` is the view's. ``key`` is the full key that the vector answers.
    ``fallback_reason`` says why another backend than the configured one answered, None if it did not.
    """

    values: Floats
    event_time: datetime
    source: str
    fingerprint: str
    key: Mapping[str, Any]
    fallback_reason: str | None = None


@runtime_checkable
class FeatureStore(Protocol):
    """A place where feature groups live, offline as history and online as vectors.

    Laws, tested by ``btcfs.testing.BackendTests``: times are UTC, ranges half-open; a write is
    visible whole or not at all and is read by whoever reads after it returned; the last write of
    a key wins and earlier ones stay readable by ``as_of``; an unknown name, version or key is
    NotFound; a version never changes. A call whose capability is undeclared raises Unsupported.
    """

    name: str
    capabilities: frozenset[Capability]

    def apply(self, definition: FeatureGroup | FeatureView) -> None:
        """Register a definition. Doing it again changes nothing but the descriptions.

        DefinitionError, with the differences and the next free version, if the same name and
        version is stored with other content, or if a view does not fit its groups; NotFound if a
        view's group is not stored.
        """

    def definitions(self) -> Sequence[Definition]:
        """Every stored definition, ordered by kind (groups first), name and version."""

    def delete(self, definition: FeatureGroup | FeatureView, *, all_versions: bool = False) -> None:
        """Remove a definition and its rows, history included; all of its versions if asked.

        NotFound if it is not stored; DefinitionError if a stored view still uses the group.
        """

    def write(
        self, group: FeatureGroup, rows: pd.DataFrame | Iterable[pd.DataFrame], *, commit: Commit | None = None
    ) -> WriteReport:
        """Commit rows atomically: new keys are inserted, other content supersedes, equal content is left alone.

        A stream of frames is one commit, whole or not at all; its memory need is that of one frame.
        With ``commit`` the rows are recorded under that name and knowledge time instead of one of this store's
        own: for mirrors and copies. It is later than the group's newest commit, or is the newest itself and
        goes on; anything else is a SchemaError.
        Content is equal if the event time and every feature have the same bits, all NaN being equal.
        NotFound if the group is not applied; DefinitionError if it is stored with other content;
        SchemaError as ``btcfs.frames.conform`` says, or if a key stands in two frames of the
        stream; StoreBusy if another writer does not finish in time.
        """

    def read(
        self,
        group: FeatureGroup,
        start: datetime | None = None,
        end: datetime | None = None,
        *,
        entity: Mapping[str, str] | None = None,
        columns: Sequence[str] | None = None,
        as_of: datetime | None = None,
    ) -> pd.DataFrame:
        """The newest state of a group's rows with ``start <= event_time < end``, ordered by primary key.

        ``entity`` keeps the rows with these key values; ``columns`` chooses and orders the columns
        (default: ``group.columns``). With ``as_of``, the rows as they were known then (commits at
        that instant included). Types are those of ``btcfs.frames.conform``. NotFound if the group
        is not applied; SchemaError for an unknown column or entity column, and for a naive time.
        """

    def commits(self, group: FeatureGroup) -> Sequence[Commit]:
        """The group's commits, oldest first. NotFound if it is not applied."""

    def changes(
        self, group: FeatureGroup, commit: Commit, start: datetime | None = None, end: datetime | None = None
    ) -> pd.DataFrame:
        """The rows that a commit inserted or updated, as it left them, ordered by primary key; in ``group.columns``.

        Only those with ``start <= event_time < end``, at a cost that follows their number. Writing them commit
        by commit to an empty store gives the same store. NotFound for a commit that the group does not have.
        """

    def summary(self, group: FeatureGroup, entity: Mapping[str, str] | None = None) -> Summary:
        """How many rows the newest state holds, and from when to when; at a cost far below reading them."""

    def get_historical_features(
        self, view: FeatureView, spine: pd.DataFrame, *, as_of: datetime | None = None
    ) -> pd.DataFrame:
        """The view's features as they were known at each spine row: the point-in-time join.

        ``spine`` has the first group's entity columns and its event-time column (the decision
        instant, zoned). One row out per spine row in, in spine order and index: the spine's
        columns, then the view's features as float64, each from the newest row of its group with
        ``event_time <= spine event_time``, NaN where there is none. SchemaError for a spine
        without these columns, with a naive time, or with a column named like a feature.
        """

    def get_online_features(self, view: FeatureView, keys: Sequence[Mapping[str, Any]]) -> Sequence[FeatureVector]:
        """One vector per key, in the order asked; ``btcfs.as_matrix`` makes one array of them.

        A full key of the view's first group gives that row, and from the other groups the newest
        row known at its event time: the same numbers as ``get_historical_features`` there. A key
        without the time gives the newest row, by event time, of each group. NotFound, naming it, if the first
        group has no such key; SchemaError if the key lacks or has unknown columns.
        """

    def exclusive(self) -> AbstractContextManager[None]:
        """Hold the writer's place for a with block of several calls; blocks of one thread may nest.

        Inside, no other process or thread commits, so what was read still holds when it is written
        upon; others may read. It is not a transaction: each write commits by itself. StoreBusy if another writer does
        not finish in time. A store that cannot keep others out declares no WRITE, or documents it.
        """

    def close(self) -> None:
        """Release what is held; afterwards every other call raises StoreUnavailable."""

    def __enter__(self) -> FeatureStore: ...

    def __exit__(self, *exc_info: object) -> None: ...
