"""The memory backend against every law of the kit, whole and with capabilities taken away."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from btcfs import memory
from btcfs.errors import Unsupported
from btcfs.store import Capability
from btcfs.testing import BackendTests
from btcfs.testing.backends.kit import OpenStore


class NarrowStore(memory.MemoryStore):
    """A store without history, vectors, scans and deleting, which says so."""

    capabilities = frozenset({Capability.WRITE})

    def read(self, *args: Any, **options: Any) -> Any:
        raise Unsupported("this store cannot scan")

    def delete(self, *args: Any, **options: Any) -> None:
        raise Unsupported("this store cannot delete")

    def write(self, group: Any, rows: Any, *, commit: Any = None) -> Any:
        if commit is not None:
            raise Unsupported("this store has no history")
        return super().write(group, rows)

    def commits(self, *args: Any, **options: Any) -> Any:
        raise Unsupported("this store has no history")

    def changes(self, *args: Any, **options: Any) -> Any:
        raise Unsupported("this store has no history")

    def get_online_features(self, *args: Any, **options: Any) -> Any:
        raise Unsupported("this store serves no vectors")

    def get_historical_features(self, view: Any, spine: Any, *, as_of: Any = None) -> Any:
        if as_of is not None:
            raise Unsupported("this store has no history")
        return super().get_historical_features(view, spine)


class ReadOnlyStore(memory.MemoryStore):
    """A store that others fill, which says so."""

    capabilities = frozenset(Capability) - {Capability.WRITE}

    def apply(self, *args: Any, **options: Any) -> None:
        raise Unsupported("this store is read-only")

    def write(self, *args: Any, **options: Any) -> Any:
        raise Unsupported("this store is read-only")


def opener(store_type: type[memory.MemoryStore]) -> OpenStore:
    contents = memory.Contents()

    def open_store(defaults: Mapping[str, str] | None = None) -> memory.MemoryStore:
        return store_type(contents, defaults or {})

    return open_store


class TestMemoryBackend(BackendTests):
    @pytest.fixture
    def open_store(self) -> OpenStore:
        contents = memory.Contents()
        return lambda **options: memory.connect(contents=contents, **options)


class TestNarrowStore(BackendTests):
    @pytest.fixture
    def open_store(self) -> OpenStore:
        return opener(NarrowStore)


class TestReadOnlyStore(BackendTests):
    @pytest.fixture
    def open_store(self) -> OpenStore:
        return opener(ReadOnlyStore)
