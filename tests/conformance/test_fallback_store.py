"""A primary and its mirror together obey the laws of every backend."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import btcfs_duckdb
from btcfs import memory
from btcfs.fallback import FallbackStore
from btcfs.testing import BackendTests
from btcfs.testing.backends.kit import OpenStore


class TestMemoryMirroredInMemory(BackendTests):
    @pytest.fixture
    def open_store(self, tmp_path: Path) -> OpenStore:
        sides = memory.Contents(), memory.Contents()

        def opened(**options: Any) -> FallbackStore:
            primary, mirror = (memory.connect(contents=contents, **options) for contents in sides)
            return FallbackStore(primary, mirror, tmp_path / "journal")

        return opened


class TestMemoryMirroredInDuckDB(BackendTests):
    @pytest.fixture
    def open_store(self, tmp_path: Path) -> OpenStore:
        contents = memory.Contents()

        def opened(**options: Any) -> FallbackStore:
            mirror = btcfs_duckdb.connect(tmp_path / "mirror", **options)
            return FallbackStore(memory.connect(contents=contents, **options), mirror, tmp_path / "journal")

        return opened
