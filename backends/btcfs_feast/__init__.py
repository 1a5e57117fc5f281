"""Any Feast repository as a backend: the user's own stores, or local files beside an SQLite file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from btcfs_feast.store import FeastStore as FeastStore

__all__ = ["CAPABILITIES", "FeastStore", "connect"]

# What each repository declares depends on its stores; an opened one says exactly.
_WRITABLE = "on files, DuckDB, Postgres"
CAPABILITIES: Mapping[str, bool | str] = {
    "write": _WRITABLE,
    "scan": "unless scan=False",
    "online": "with an online store",
    "time_travel": "unless scan=False",
    "delete": _WRITABLE,
}


def connect(
    path: str | Path = "feature_repo",
    *,
    create: bool = False,
    data: str | Path | None = None,
    scan: bool = True,
    online_rows: int = 100,
    timeout: float = 10.0,
    defaults: Mapping[str, str] | None = None,
) -> FeastStore:
    """The store in the Feast repository ``path``, whose feature_store.yaml is read and never changed.

    With ``create``, a local repository (files and SQLite) is made there if there is none. ``data`` is
    the folder for btcfs's own files, ``data/btcfs`` in the repository unless named. Without ``scan``
    no table is pulled whole: reads raise Unsupported and Feast itself joins. Of a
    group's first write the ``online_rows`` newest of each entity go online, and of later writes what is
    no older; anything else is answered from the offline store.
    ``timeout`` is how long, in seconds, to wait for a server or another writer. ``defaults`` fill in
    entity columns that online keys leave out. ConfigError if there is no usable repository;
    StoreUnavailable if its registry cannot be reached in time.
    """
    # Imported here: importing Feast takes seconds, and only who opens a repository should pay for it.
    from btcfs_feast.store import Options, open_store

    options = Options(scan=scan, online_rows=online_rows, timeout=timeout, defaults=dict(defaults or {}))
    return open_store(Path(path), create=create, data=None if data is None else Path(data), options=options)


def __getattr__(name: str) -> Any:
    if name == "FeastStore":
        from btcfs_feast.store import FeastStore

        return FeastStore
    raise AttributeError(f"module 'btcfs_feast' has no attribute {name!r}")
