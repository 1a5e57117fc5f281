"""The DuckDB backend obeys the laws of every backend."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from btcfs.testing import BackendTests
from btcfs.testing.backends.kit import OpenStore
from btcfs_duckdb import connect


class TestDuckDBBackend(BackendTests):
    @pytest.fixture
    def open_store(self, tmp_path: Path) -> OpenStore:
        return partial(connect, tmp_path / "store")
