"""The embedded default backend: history in one DuckDB file, vectors in an SQLite file beside it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from btcfs_duckdb.store import DuckDBStore as DuckDBStore

__all__ = ["DuckDBStore", "connect"]


def connect(
    path: str | Path = ".btcfs", *, lock_timeout: float = 10.0, defaults: Mapping[str, str] | None = None
) -> DuckDBStore:
    """The store in the folder ``path``, which is created if there is none.

    ``lock_timeout`` is how long, in seconds, a call waits for another process to finish before it
    raises StoreBusy; ``defaults`` fill in entity columns that online keys leave out. ConfigError if
    the folder holds something else or was written by a newer btcfs; StoreUnavailable if it cannot be
    read and written.
    """
    # Imported here so that a program which only names this backend loads neither numpy nor pandas.
    from btcfs_duckdb.store import open_store

    return open_store(Path(path), lock_timeout=lock_timeout, defaults=defaults)


def __getattr__(name: str) -> Any:
    if name == "DuckDBStore":
        from btcfs_duckdb.store import DuckDBStore

        return DuckDBStore
    raise AttributeError(f"module 'btcfs_duckdb' has no attribute {name!r}")
