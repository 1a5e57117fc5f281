"""The feature store in a folder: DuckDB tables as history, an SQLite file for vectors."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from btcfs import catalogue
from btcfs.definitions import Definition, FeatureGroup, FeatureView
from btcfs.errors import StoreUnavailable
from btcfs.store import Capability, Commit, FeatureVector, Summary, WriteReport
from btcfs_duckdb import online
from btcfs_duckdb.commit_counter import CommitCounter
from btcfs_duckdb.following import Following
from btcfs_duckdb.places import Places
from btcfs_duckdb.readers import Generation, Readers
from btcfs_duckdb.vectors import Vectors

if TYPE_CHECKING:
    import pandas as pd

    from btcfs_duckdb.offline import Offline


def open_store(path: Path, *, lock_timeout: float, defaults: Mapping[str, str] | None) -> DuckDBStore:
    """The store in that folder, its online file in step with the offline one; see ``btcfs_duckdb.connect``."""
    store = DuckDBStore(Places(path), lock_timeout, dict(defaults or {}))
    try:
        store.settle()
    except BaseException:  # whatever stopped it, nobody else could close it
        store.close()
        raise
    return store


class DuckDBStore:
    """A ``FeatureStore`` in a folder of this machine, for many readers and one writer at a time.

    Vectors come from the online file alone: no lock, no DuckDB. Several threads may share a store.
    A child process gets connections of its own after a fork, unless another thread was writing at
    that moment: then open a store in the child.
    """

    name = "duckdb"
    capabilities = frozenset(Capability)

    def __init__(self, places: Places, lock_timeout: float, defaults: Mapping[str, str]) -> None:
        places.create()
        self._places = places
        self._timeout = lock_timeout
        self._defaults = defaults
        self._readers = Readers(places, lock_timeout)
        self._following = Following(places, self._readers)
        self._counter = CommitCounter(places.counter)
        self._vectors = Vectors(self._readers, self._counter, defaults, self.name)
        self._stored: tuple[Generation, int, list[online.Stored]] | None = None
        self._closed = False

    @property
    def repairs(self) -> Counter[str]:
        """What was put right since this store was opened: changes ``replayed``, online tables ``rebuilt``."""
        return Counter(self._offline.recovery.repairs)

    def settle(self) -> None:
        """Bring the online file into step with the offline one, after a crash or a restored backup.

        While another process writes, vectors are served as they are: it will do it.
        """
        if not self._following.in_step():
            self._offline.settle(serving=self._following.state() is not None)

    def rebuild_online(self) -> None:
        """Build the online table anew from the offline ones; readers go over to it when it is whole."""
        self._opened().rebuild_online()

    def apply(self, definition: FeatureGroup | FeatureView) -> None:
        offline = self._opened()
        if definition not in self.definitions():
            offline.apply(definition)

    def definitions(self) -> Sequence[Definition]:
        self._refuse_closed()
        return [each.definition for each in self._known()]

    def delete(self, definition: FeatureGroup | FeatureView, *, all_versions: bool = False) -> None:
        self._opened().delete(definition, all_versions=all_versions)

    def write(
        self, group: FeatureGroup, rows: pd.DataFrame | Iterable[pd.DataFrame], *, commit: Commit | None = None
    ) -> WriteReport:
        offline = self._opened()
        catalogue.same(self.definitions(), group)  # so that a mistake need not wait for its turn
        return offline.write(group, rows, commit)

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
        offline = self._opened_for(group, entity)
        chosen = catalogue.chosen_columns(group, columns)
        return offline.read(group, start, end, entity or {}, chosen, as_of)

    def commits(self, group: FeatureGroup) -> Sequence[Commit]:
        return self._opened_for(group, None).commits(group)

    def changes(
        self, group: FeatureGroup, commit: Commit, start: datetime | None = None, end: datetime | None = None
    ) -> pd.DataFrame:
        return self._opened_for(group, None).changes(group, commit, start, end)

    def summary(self, group: FeatureGroup, entity: Mapping[str, str] | None = None) -> Summary:
        return self._opened_for(group, entity).summary(group, entity or {})

    def get_historical_features(
        self, view: FeatureView, spine: pd.DataFrame, *, as_of: datetime | None = None
    ) -> pd.DataFrame:
        return self._opened().join(view, spine, as_of)

    def get_online_features(self, view: FeatureView, keys: Sequence[Mapping[str, Any]]) -> Sequence[FeatureVector]:
        if self._closed:
            self._refuse_closed()
        return self._vectors.get(view, keys)

    def change_token(self, groups: Sequence[tuple[str, int]]) -> Hashable:
        """A value that differs after any commit to one of these (name, version) groups or any change of a view over them."""
        if self._closed:
            self._refuse_closed()
        return self._vectors.change_token(groups)

    @property
    def place(self) -> str:
        """Where the store is, which no other of this backend shares."""
        return str(self._places.root.absolute())

    def elsewhere(self) -> dict[str, Any]:
        """The options of ``btcfs.connect`` by which another process opens this store."""
        return {"path": self.place, "lock_timeout": self._timeout, "defaults": dict(self._defaults)}

    def exclusive(self) -> AbstractContextManager[None]:
        return self._opened().exclusive()

    def close(self) -> None:
        self._closed = True
        self._stored = None
        self._vectors.close()
        self._readers.close()
        self._counter.close()

    def __enter__(self) -> DuckDBStore:
        self._refuse_closed()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    @cached_property
    def _offline(self) -> Offline:
        # Imported here so that a program which only asks for vectors loads neither DuckDB nor pandas.
        from btcfs_duckdb.offline import Offline

        return Offline(
            self._places,
            self._readers,
            self._following,
            self._counter,
            self._timeout,
            self._known,
            self._committed_offline,
        )

    def _committed_offline(self) -> None:
        """Called after each offline commit and before its online one; a place for tests to crash at."""

    def _opened(self) -> Offline:
        self._refuse_closed()
        return self._offline

    def _opened_for(self, group: FeatureGroup, entity: Mapping[str, str] | None) -> Offline:
        """The offline half, to read this group with."""
        self._refuse_closed()
        catalogue.same(self.definitions(), group)
        catalogue.check_entity(group, entity)
        return self._offline

    def _refuse_closed(self) -> None:
        if self._closed:
            raise StoreUnavailable(
                f"this store of {self._places.root} is closed; open another with btcfs.connect('duckdb', path=...)"
            )

    def _known(self) -> list[online.Stored]:
        """Every stored definition, read again only when something was applied or deleted."""
        with self._readers.using() as (connection, generation), online.translated(generation.path):
            epoch = online.state(connection).epoch
            cached = self._stored
            if cached is None or cached[0] is not generation or cached[1] != epoch:
                self._stored = cached = (generation, epoch, online.stored(connection))
            return cached[2]
