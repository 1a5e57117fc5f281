"""A backend in a dictionary: the protocol as plainly as it can be written, to compare the others with."""

from __future__ import annotations

from collections.abc import Mapping

from btcfs.memory.contents import Contents
from btcfs.memory.store import MemoryStore

__all__ = ["Contents", "MemoryStore", "connect"]


def connect(*, defaults: Mapping[str, str] | None = None, contents: Contents | None = None) -> MemoryStore:
    """A store in this process's memory; ``defaults`` fill in entity columns that online keys leave out."""
    return MemoryStore(Contents() if contents is None else contents, dict(defaults or {}))
