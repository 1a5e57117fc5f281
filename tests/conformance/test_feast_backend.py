"""The Feast backend obeys the laws of every backend, on each kind of repository."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

pytest.importorskip("feast", reason="the extra btcfs[feast] is not installed")

import servers
from btcfs.testing import BackendTests
from btcfs.testing.backends.kit import OpenStore
from btcfs_feast import connect
from repositories import all_in_postgres, write_config


@pytest.fixture(scope="module")
def postgres() -> Iterator[int]:
    with servers.postgres() as port:
        yield port


@pytest.fixture(scope="module")
def redis() -> Iterator[int]:
    with servers.redis() as port:
        yield port


class TestFeastLocal(BackendTests):
    """Files read with Dask, and SQLite."""

    @pytest.fixture
    def open_store(self, tmp_path: Path) -> OpenStore:
        return partial(connect, tmp_path / "repo", create=True)


class TestFeastDuckDB(BackendTests):
    """Files read with DuckDB, and SQLite."""

    @pytest.fixture
    def open_store(self, tmp_path: Path) -> OpenStore:
        return partial(connect, write_config(tmp_path / "repo", offline={"type": "duckdb"}))


class TestFeastPostgres(BackendTests):
    """Postgres as offline store, online store and registry."""

    @pytest.fixture
    def open_store(self, tmp_path: Path, postgres: int) -> OpenStore:
        return partial(connect, all_in_postgres(tmp_path / "repo", postgres), timeout=30.0)


class TestFeastRedis(BackendTests):
    """Files read with Dask, and Redis."""

    @pytest.fixture
    def open_store(self, tmp_path: Path, redis: int) -> OpenStore:
        online = {"type": "redis", "connection_string": f"127.0.0.1:{redis}"}
        return partial(connect, write_config(tmp_path / "repo", project=f"p_{uuid.uuid4().hex[:10]}", online=online))
