"""The servers of the emulator: that they refuse, stand apart, stop, and end with their parent."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("confluent_kafka", reason="the extra hopsworks-emulator is not installed")
pytest.importorskip("mysql_mimic", reason="the extra hopsworks-emulator is not installed")

import pyarrow.flight as flight
import pymysql
from confluent_kafka import KafkaError, KafkaException, Producer

from btcfs_hopsworks.emulator import data_plane, mariadb, tansu
from btcfs_hopsworks.emulator.call_log import CallLog
from btcfs_hopsworks.emulator.knobs import Knobs
from btcfs_hopsworks.emulator.metadata import Feature, Group
from btcfs_hopsworks.emulator.planes import Services
from btcfs_hopsworks.emulator.state import State
from emulated import MODES, PROJECT, Emulated, emulated, eventually, row, services

pytest_plugins = ["emulated"]


def delivery(bootstrap_servers: str, **settings: Any) -> KafkaError | None:
    """How the broker takes one message."""
    outcome: list[KafkaError | None] = []
    producer = Producer({"bootstrap.servers": bootstrap_servers, "log_level": 2, **settings})
    producer.produce("bitcoin_onlinefs", b"x", on_delivery=lambda error, message: outcome.append(error))
    producer.flush(20)
    return outcome[0]


def test_kafka_refuses(cluster: Emulated) -> None:
    """While Kafka is down, producers are told that they may not write; afterwards they may."""
    cluster.knobs.reset()
    cluster.knobs.change({"kafka_down": True})
    refused = delivery(cluster.plane.bootstrap_servers)
    cluster.knobs.reset()

    assert refused is not None
    assert refused.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED
    assert delivery(cluster.plane.bootstrap_servers) is None


def test_kafka_hangs(cluster: Emulated) -> None:
    """A broker that never answers is found out only by the client's own time limit."""
    cluster.knobs.add("hang", "kafka bootstrap")
    error = delivery(cluster.plane.bootstrap_servers, **{"message.timeout.ms": 500})

    assert error is not None
    assert error.code() == KafkaError._MSG_TIMED_OUT


def test_two_clusters_share_nothing(cluster: Emulated, stored: Group, tmp_path: Path) -> None:
    """Another cluster on another address has its own rows, and does not trust this one's clients."""
    with emulated(tmp_path) as other:
        assert other.host != cluster.host
        with pytest.raises(pymysql.Error):
            other.sql(f"SELECT * FROM {stored.table}")
        mine, theirs = cluster.plane.credentials(PROJECT), other.plane.credentials(PROJECT)
        stranger = flight.FlightClient(
            f"grpc+tls://{other.host}:5005",
            tls_root_certs=theirs.ca_chain,
            cert_chain=mine.client_certificate,
            private_key=mine.client_key,
            override_hostname=f"flyingduck.service.{data_plane.DOMAIN}",
        )
        with pytest.raises(flight.FlightUnavailableError):
            list(stranger.do_action(flight.Action("healthcheck", b""), flight.FlightCallOptions(timeout=5)))


@pytest.mark.parametrize("mode", MODES)
def test_address_is_free_after_close(tmp_path: Path, mode: str) -> None:
    """A cluster on a taken address does not start and leaves nothing behind; closing frees the address."""
    with emulated(tmp_path / "one", mode) as first:
        wanted = services(mode, first.host)
        with pytest.raises(OSError):
            data_plane.start(State(tmp_path, "key"), Knobs(), CallLog(), wanted)
    second = data_plane.start(State(tmp_path, "key"), Knobs(), CallLog(), wanted)
    second.close()
    second.close()

    for port in (3306, 4406, 5005):
        socket.create_server((first.host, port)).close()


def test_unreachable_servers_are_named(tmp_path: Path) -> None:
    """An address where no MySQL server or broker answers is an error that names it."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        nobody = silent.getsockname()[1]
    with pytest.raises(ConnectionError, match=f"127.0.0.1:{nobody}"):
        data_plane.start(
            State(tmp_path, "key"), Knobs(), CallLog(), Services("127.0.0.1", mysql=f"u:p@127.0.0.1:{nobody}")
        )


def test_rows_of_an_earlier_cluster(tmp_path: Path) -> None:
    """On a broker that outlives it, a cluster leaves alone the rows of those before it."""
    services("services", "127.0.0.1")
    broker = tansu.start(tmp_path, "127.0.0.1")
    try:
        found = []
        for number in (1, 2):
            with emulated(tmp_path / str(number), kafka=broker.bootstrap_servers) as cluster:
                group = cluster.group(Feature("close", "double"))
                assert cluster.plane.materialise(group) is None
                cluster.counted(cluster.write(group, [row(n, close=0.0) for n in range(20 * number)]))
                commit = cluster.plane.materialise(group)
                found.append((group.id, commit and commit.inserted))
        assert found == [(1, 20), (1, 40)]
    finally:
        broker.close()


def test_children_end_with_a_killed_parent(tmp_path: Path) -> None:
    """A MariaDB that was started for an emulator does not outlive it, however that ends."""
    services("services", "127.0.0.1")
    program = (
        "import pathlib, sys, time\n"
        "from btcfs_hopsworks.emulator import mariadb\n"
        f"mariadb.start(pathlib.Path({str(tmp_path)!r}), '127.0.0.1', 0)\n"
        "print('ready', flush=True)\n"
        "time.sleep(60)  # until it is killed\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    assert parent.stdout.readline() == b"ready\n"
    child = int((tmp_path / "mariadb.pid").read_text())
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    parent.stdout.close()

    eventually(lambda: not alive(child))
    assert mariadb.installed()


def alive(process: int) -> bool:
    """Whether a process runs: one that has ended and was not waited for does not."""
    try:
        return "State:\tZ" not in Path(f"/proc/{process}/status").read_text()
    except FileNotFoundError:
        return False


def test_topics_of_a_refusing_broker(cluster: Emulated) -> None:
    """A consumer that looks a topic up is told that it may not see it."""
    from confluent_kafka import Consumer

    client = Consumer({"bootstrap.servers": cluster.plane.refusals.unauthorised, "group.id": "x", "log_level": 2})
    try:
        found = client.list_topics("bitcoin_onlinefs", timeout=10).topics["bitcoin_onlinefs"]
    except KafkaException as exc:  # pragma: no cover - a client that cannot even ask
        pytest.fail(str(exc))
    finally:
        client.close()

    assert found.error is not None
    assert found.error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED
