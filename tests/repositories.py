"""Feast repositories for tests: a feature_store.yaml as a user would write it."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

import pytest


def write_config(
    root: Path,
    *,
    project: str = "demo",
    registry: Any = "data/registry.db",
    offline: dict[str, Any] | None = None,
    online: dict[str, Any] | None = None,
) -> Path:
    """A feature_store.yaml in that folder: local files and SQLite unless said otherwise."""
    (root / "data").mkdir(parents=True, exist_ok=True)
    content = {
        "project": project,
        "provider": "local",
        "registry": registry,
        "offline_store": offline or {"type": "dask"},
        "online_store": online or {"type": "sqlite", "path": "data/online.db"},
        "entity_key_serialization_version": 3,
    }
    # YAML reads JSON.
    (root / "feature_store.yaml").write_text(json.dumps(content))
    return root


@pytest.fixture
def local(tmp_path: Path) -> Path:
    """A repository of local files in which nothing was applied."""
    return write_config(tmp_path / "repo")


def in_postgres(port: int, database: str = "postgres") -> dict[str, Any]:
    """An offline or online store in the Postgres on this port."""
    where = {"host": "127.0.0.1", "port": port, "database": database, "user": "postgres", "password": "unused"}
    # Feast asks for TLS unless told otherwise.
    return {"type": "postgres", **where, "db_schema": "public", "sslmode": "disable"}


def sql_registry(port: int, database: str = "postgres") -> dict[str, Any]:
    """A registry in the Postgres on this port."""
    return {"registry_type": "sql", "path": f"postgresql+psycopg://postgres:unused@127.0.0.1:{port}/{database}"}


def sql_repository(root: Path, project: str = "demo") -> Path:
    """A local repository whose registry is a database, which Feast reads from a copy in memory."""
    path = f"sqlite:///{root.parent / 'registry.db'}"
    return write_config(root, project=project, registry={"registry_type": "sql", "path": path})


def all_in_postgres(root: Path, port: int) -> Path:
    """A repository whose offline store, online store and registry are a new database of the Postgres on this port."""
    import psycopg

    # Feast reads every project of a registry again after each change, so that one registry for all tests would slow down.
    database = f"btcfs_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(host="127.0.0.1", port=port, user="postgres", dbname="postgres", autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {database}")
    stores = {"offline": in_postgres(port, database), "online": in_postgres(port, database)}
    return write_config(root, registry=sql_registry(port, database), **stores)
