"""Where rows lie in each kind of offline store: the one part of this backend that depends on the store."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib.metadata import entry_points
from pathlib import Path

from btcfs.definitions import FeatureGroup
from btcfs.store import Capability
from btcfs_feast.naming import feast_name
from btcfs_feast.repository import Repository
from btcfs_feast.shelf import Shelf

GROUP = "btcfs.feast_sources"
Factory = Callable[[FeatureGroup, str], Shelf]

# The stores whose sources are files; btcfs writes those itself.
FILE_BACKED = ("file", "dask", "duckdb", "ray")


def factory(repository: Repository, data: Path) -> Factory | None:
    """What makes the ``Shelf`` of a group and its identity, None if nothing can for this offline store.

    A shelf for another store is registered under ``btcfs.feast_sources``, by the store's type in
    feature_store.yaml, as a callable of the repository, the data folder, the group and the identity.
    """
    kind = repository.offline_type
    for entry in entry_points(group=GROUP):
        if entry.name == kind:
            return partial(entry.load(), repository, data)
    if kind in FILE_BACKED:
        return partial(_part_files, data)
    if kind == "postgres":
        from btcfs_feast.postgres import PostgresTables
        from btcfs_feast.postgres_link import Link

        return partial(PostgresTables, Link(repository))
    return None


def capabilities(repository: Repository, *, writable: bool, scan: bool) -> frozenset[Capability]:
    """What the store can do."""
    found = set()
    if writable:
        found |= {Capability.WRITE, Capability.DELETE}
    if scan:
        found |= {Capability.SCAN, Capability.TIME_TRAVEL}
    if repository.has_online:
        found.add(Capability.ONLINE)
    return frozenset(found)


def why_not(repository: Repository, capability: Capability, *, scan: bool) -> str:
    """Why the store does not do that, and what would."""
    if capability is Capability.ONLINE:
        return f"the Feast repository {repository.root} has no online store; add online_store to its feature_store.yaml"
    if capability in (Capability.SCAN, Capability.TIME_TRAVEL) and not scan:
        return f"the Feast repository {repository.root} was opened with scan=False, so that no table is pulled whole"
    return (
        f"btcfs cannot write to the offline store {repository.offline_type!r} of the Feast repository {repository.root}; "
        f"it can to {', '.join((*FILE_BACKED, 'postgres'))}, and to others by an entry point {GROUP!r}"
    )


def _part_files(data: Path, group: FeatureGroup, identity: str) -> Shelf:
    from btcfs_feast.parts import PartFiles

    return PartFiles(data / "parts" / f"{feast_name(group)}-{identity}", group)
