"""The data half of a Hopsworks emulator, and clients that write to it as the SDK does."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import attrs
import fastavro
import pyarrow.flight
import pymysql
import pytest
from confluent_kafka import Producer

from btcfs_hopsworks.emulator import data_plane, mariadb, tansu
from btcfs_hopsworks.emulator.avro import wire_schema
from btcfs_hopsworks.emulator.call_log import CallLog
from btcfs_hopsworks.emulator.knobs import Knobs
from btcfs_hopsworks.emulator.loopback import free_address
from btcfs_hopsworks.emulator.metadata import Feature, Group, OnlineIngestion, Project
from btcfs_hopsworks.emulator.planes import Services
from btcfs_hopsworks.emulator.servers import PRIVATE
from btcfs_hopsworks.emulator.state import State

MODES = ("pip", "services")
PROJECT = Project(119, "bitcoin")
DAY = datetime(2024, 1, 1, tzinfo=timezone.utc)


class Emulated:
    """One running data plane, and what its groups are called."""

    def __init__(self, plane: data_plane.LocalDataPlane, host: str) -> None:
        self.plane, self.host = plane, host
        self.state, self.knobs = plane.state, plane.knobs
        self.producer = Producer({"bootstrap.servers": plane.bootstrap_servers, "log_level": 2})

    def group(self, *features: Feature, name: str = "candles", online: bool = True, event_time: str = "at") -> Group:
        """A new group with these features after its key ``symbol``, ``number`` and event time ``at``."""
        number = self.state.next_id()
        columns = (
            Feature("symbol", "string", primary=True),
            Feature("number", "bigint", primary=True),
            Feature("at", "timestamp"),
            *features,
        )
        group = Group(
            number, PROJECT.id, f"{name}{number}", 1, columns, event_time, online, "HUDI", "streamFeatureGroupDTO",
            "bitcoin_onlinefs", number, 0,
        )  # fmt: skip
        self.state.groups[number] = group
        self.plane.create_group(group)
        return group

    def write(self, group: Group, rows: Sequence[Mapping[str, Any]], **headers: bytes) -> int:
        """Sends rows as an insert does, and returns the number of its online ingestion."""
        ingestion = self.state.next_id()
        self.state.ingestions[ingestion] = OnlineIngestion(ingestion, group.id, len(rows))
        schema = fastavro.parse_schema(wire_schema(group))
        known = {"projectId": b"119", "featureGroupId": str(group.id).encode(), "subjectId": b"1"}
        for row in rows:
            value = io.BytesIO()
            fastavro.schemaless_writer(value, schema, row)
            key = "".join(str(row[name]) for name in sorted(group.primary_key))
            sent = {**known, "onlineIngestionId": str(ingestion).encode(), **headers}
            self.producer.produce(group.topic, value.getvalue(), key, headers=sent)
            self.producer.poll(0)
        self.producer.flush()
        return ingestion

    def counted(self, ingestion: int) -> Mapping[str, int]:
        """The rows of an ingestion by status, once all of them are counted."""
        eventually(
            lambda: sum(self.state.ingestions[ingestion].rows.values()) >= self.state.ingestions[ingestion].entries
        )
        return self.state.ingestions[ingestion].rows

    def sql(self, statement: str, arguments: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """The answer of the online store over the MySQL protocol."""
        address = self.plane.online_address
        with pymysql.connect(
            host=address.host,
            port=address.port,
            user=address.user,
            password=address.password,
            database=PROJECT.online_database,
            read_timeout=10,
        ) as connection, connection.cursor() as cursor:  # fmt: skip
            cursor.execute(statement, arguments)
            return list(cursor.fetchall())

    def offline(self, group: Group) -> list[tuple[Any, ...]]:
        """The rows of a group in the offline store, its columns in their order."""
        names = ", ".join(f'"{feature.name}"' for feature in group.features)
        found = self.plane.query(f'SELECT {names} FROM "{PROJECT.featurestore}"."{group.table}" ORDER BY number, "at"')
        return [tuple(each.values()) for each in found.to_pylist()]

    def online(self, group: Group, columns: str = "number, close") -> list[tuple[Any, ...]]:
        """These columns of a group's rows in the online store."""
        return self.sql(f"SELECT {columns} FROM `{group.table}` ORDER BY number")

    def flight(self) -> pyarrow.flight.FlightClient:
        """A client of the query service with the certificates that a login gives."""
        given = self.plane.credentials(PROJECT)
        return pyarrow.flight.FlightClient(
            f"grpc+tls://{self.host}:5005",
            tls_root_certs=given.ca_chain,
            cert_chain=given.client_certificate,
            private_key=given.client_key,
            override_hostname=f"flyingduck.service.{data_plane.DOMAIN}",
        )


def row(number: int, **values: Any) -> dict[str, Any]:
    """A row of day ``number`` after 2024-01-01."""
    return {"symbol": "BTC", "number": number, "at": DAY + timedelta(days=number), **values}


def eventually(holds: Callable[[], bool], seconds: float = 20.0) -> None:
    """Returns once it holds."""
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until, "did not become true"
        time.sleep(0.005)


def services(mode: str, host: str) -> Services:
    """The servers of a mode; skips, or fails in CI, where the real ones are not installed."""
    if mode == "pip":
        return Services(host)
    missing = [name for name, there in (("MariaDB", mariadb.installed()), ("tansu", tansu.program())) if not there]
    if missing:
        reason = f"not installed: {', '.join(missing)}; .ci/services.sh installs it"
        pytest.fail(reason) if os.environ.get("CI") == "true" else pytest.skip(reason)
    return Services(host, mysql=PRIVATE, kafka=PRIVATE)


@contextlib.contextmanager
def emulated(folder: Path, mode: str = "pip", kafka: str | None = None) -> Iterator[Emulated]:
    """A data plane of its own on a free address, and on a given broker if one is named."""
    host = free_address()
    state = State(folder, "key")
    state.projects[PROJECT.id] = PROJECT
    wanted = services(mode, host)
    plane = data_plane.start(state, Knobs(), CallLog(), attrs.evolve(wanted, kafka=kafka or wanted.kafka))
    try:
        yield Emulated(plane, host)
    finally:
        plane.close()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def mode() -> str:
    """Which servers ``cluster`` has; a module whose rules hold in both modes makes this a fixture of both."""
    return "pip"


@pytest.fixture(scope="module")
def cluster(mode: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulated]:
    """One data plane for the tests of a module."""
    with emulated(tmp_path_factory.mktemp("hdfs"), mode) as running:
        yield running
        running.knobs.reset()


@pytest.fixture
def candles(cluster: Emulated) -> Group:
    """A new group of closes without rows; the knobs are as they were at the start."""
    cluster.knobs.reset()
    return cluster.group(Feature("close", "double"))


@pytest.fixture
def stored(cluster: Emulated) -> Group:
    """A new group with eight rows online and offline; the knobs are as they were at the start."""
    cluster.knobs.reset()
    group = cluster.group(Feature("close", "double"), Feature("up", "boolean"))
    cluster.counted(cluster.write(group, [row(n, close=n / 4, up=n % 2 == 0) for n in range(8)]))
    cluster.plane.materialise(group)
    return group
