"""Real servers for tests: private ones, on free ports, in folders of their own, ended with the test run."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

PATIENCE = 60.0


class Postgres:
    """A Postgres server on 127.0.0.1 that can be killed and started again, with the same data and port."""

    def __init__(self, folder: Path, user: str | int | None) -> None:
        self.port = free_port()
        self._folder = folder
        self._user = user
        self._stack = ExitStack()
        self._initdb, self._server, self._ready = (
            binary(name, "/usr/lib/postgresql/*/bin") for name in ("initdb", "postgres", "pg_isready")
        )

    def create(self) -> None:
        settings = ["--auth=trust", "--username=postgres", "--encoding=UTF8", "--locale=C", "--no-sync"]
        command = [self._initdb, "-D", str(self._folder / "db"), *settings]
        subprocess.run(command, check=True, capture_output=True, user=self._user)

    def start(self) -> None:
        folder, port = self._folder, self.port
        options = ["-c", "listen_addresses=127.0.0.1", "-c", f"unix_socket_directories={folder}", "-c", "fsync=off"]
        command = [self._server, "-D", str(folder / "db"), "-p", str(port), *options, "-c", "max_connections=300"]
        self._process = self._stack.enter_context(_running(command, folder, self._user, port))
        until = time.monotonic() + PATIENCE
        # It listens before it lets anybody in.
        while subprocess.run([self._ready, "-q", "-h", "127.0.0.1", "-p", str(port)], check=False).returncode:
            assert time.monotonic() < until, (folder / "log").read_text()
            time.sleep(0.05)

    def kill(self) -> None:
        """End it and all that it serves at once, as a crash would."""
        self._process.send_signal(signal.SIGQUIT)
        self._process.wait(PATIENCE)
        self.stop()

    def stop(self) -> None:
        self._stack.close()


@contextmanager
def mortal_postgres() -> Iterator[Postgres]:
    """A Postgres server with the user and database ``postgres`` and no password."""
    with _folder("postgres") as (folder, user):
        server = Postgres(folder, user)
        server.create()
        server.start()
        try:
            yield server
        finally:
            server.stop()


@contextmanager
def postgres() -> Iterator[int]:
    """The port of a Postgres server on 127.0.0.1 with the user and database ``postgres`` and no password."""
    with mortal_postgres() as server:
        yield server.port


@contextmanager
def redis() -> Iterator[int]:
    """The port of a Redis server on 127.0.0.1 that keeps nothing on disk."""
    server = binary("redis-server")
    with _folder("redis") as (folder, user):
        port = free_port()
        command = [server, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
        with _running(command, folder, user, port):
            yield port


def binary(name: str, *folders: str) -> str:
    """The path of a server's program. Skips the test where it is not installed; on CI that is a failure."""
    found = [str(path) for pattern in folders for path in sorted(Path("/").glob(f"{pattern[1:]}/{name}"), reverse=True)]
    path = next(iter(found), shutil.which(name))
    if path is None:
        reason = f"{name} is not installed; .ci/services.sh installs it"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return path


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def _folder(name: str) -> Iterator[tuple[Path, str | int | None]]:
    """A folder, and the user to run as: Postgres refuses to be run by root."""
    folder = Path(tempfile.mkdtemp(prefix=f"btcfs-{name}-"))
    user = None
    if os.name == "posix" and os.geteuid() == 0:
        user = "nobody"
        shutil.chown(folder, user)
    try:
        yield folder, user
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _running(command: list[str], folder: Path, user: str | int | None, port: int) -> Iterator[subprocess.Popen[bytes]]:
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, user=user, cwd=folder)
    try:
        until = time.monotonic() + PATIENCE
        while not _answers(port):
            assert process.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < until, f"{command[0]} does not answer: {(folder / 'log').read_text()}"
            time.sleep(0.05)
        yield process
    finally:
        process.send_signal(signal.SIGINT)  # Postgres waits for its clients when asked by SIGTERM
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _answers(port: int) -> bool:
    with socket.socket() as client:
        client.settimeout(1.0)
        return client.connect_ex(("127.0.0.1", port)) == 0
