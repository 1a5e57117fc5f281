"""The emulator as an object: everything started in this process, reached over sockets, stopped at the end."""

from __future__ import annotations

import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

import attrs
import uvicorn
from starlette.applications import Starlette

from btcfs_hopsworks.emulator import data_plane
from btcfs_hopsworks.emulator.call_log import CallLog
from btcfs_hopsworks.emulator.jobs import Jobs
from btcfs_hopsworks.emulator.knobs import Knobs
from btcfs_hopsworks.emulator.metadata import Project
from btcfs_hopsworks.emulator.planes import DataPlane, Services
from btcfs_hopsworks.emulator.rest.guard import Guard
from btcfs_hopsworks.emulator.rest.routes import routes
from btcfs_hopsworks.emulator.rest.server import Server
from btcfs_hopsworks.emulator.state import State
from btcfs_hopsworks.emulator.works import Works

VERSION = "5.2.1"
"""The server version it claims, which is that of the client it was checked against."""


@attrs.define
class Emulator:
    """A local Hopsworks. Use it in a ``with`` statement, or call ``start`` and ``stop``.

    ``host`` must be a loopback address that no other emulator uses (127.0.0.2, 127.1.2.3…), since
    three of its ports are fixed by the client; ``port`` 0 takes a free one. ``projects`` are numbered
    from 119 in the order given. ``mysql`` and ``kafka`` name real servers to run on; see ``Services``.
    """

    host: str = "127.0.0.1"
    port: int = 0
    projects: Sequence[str] = ("bitcoin_ml_pipeline",)
    api_key: str = "emulator.local.key"
    mysql: str | None = None
    kafka: str | None = None
    knobs: Knobs = attrs.field(factory=Knobs)
    calls: CallLog = attrs.field(factory=CallLog)
    state: State = attrs.field(init=False)
    _plane: DataPlane = attrs.field(init=False)
    _jobs: Jobs = attrs.field(init=False)
    _server: uvicorn.Server | None = attrs.field(init=False, default=None)
    _thread: threading.Thread = attrs.field(init=False)

    def start(self) -> Emulator:
        """Starts every service, and returns when all can be reached.

        OSError if a port is taken; ConnectionError if a server that was named cannot be reached.
        """
        self.state = State(Path(tempfile.mkdtemp(prefix="hopsworks-files-")), self.api_key)
        for number, name in enumerate(self.projects, start=119):
            self.state.projects[number] = Project(number, name)
            self._make_folders(name)
        try:
            self._plane = data_plane.start(
                self.state, self.knobs, self.calls, Services(self.host, self.port, self.mysql, self.kafka)
            )
        except BaseException:  # whatever stopped it, nobody else knows the folder
            shutil.rmtree(self.state.folder, ignore_errors=True)
            raise
        self._jobs = Jobs(self.state, self.knobs, self.calls, Works(self.state, self._plane).by_kind())
        try:
            self._serve()
        except BaseException:  # whatever stopped it, the servers that did start must not stay
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """Stops every service and removes the files; may be called twice."""
        if self._server is not None:
            self._server.should_exit = True
            self._server.force_exit = True
            self._thread.join(timeout=5.0)
            self._server = None
        self._jobs.stop()
        self._plane.close()
        shutil.rmtree(self.state.folder, ignore_errors=True)

    def __enter__(self) -> Emulator:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """Where REST answers."""
        return f"https://{self.host}:{self.port}"

    @property
    def ca_certificate(self) -> Path:
        """A PEM file with which a client can check the server's certificate."""
        return self._plane.ca_certificate

    def environment(self) -> Mapping[str, str]:
        """The variables that make ``hopsworks.login()`` find this emulator, and go to it directly."""
        return {
            "HOPSWORKS_HOST": self.host,
            "HOPSWORKS_PORT": str(self.port),
            "HOPSWORKS_PROJECT": self.projects[0],
            "HOPSWORKS_API_KEY": self.api_key,
            "HOPSWORKS_ENGINE": "python",
            "HOPSWORKS_HOSTNAME_VERIFICATION": "False",
            "NO_PROXY": f"{self.host},localhost,127.0.0.0/8",
        }

    def _make_folders(self, project: str) -> None:
        for folder in ("Models", "Resources", "Logs", "Jupyter", f"{project}_Training_Datasets"):
            self.state.file(f"/Projects/{project}/{folder}").mkdir(parents=True)

    def _serve(self) -> None:
        listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((self.host, self.port))
        self.port = listening.getsockname()[1]
        server = Server(
            self.state,
            self.knobs,
            self.calls,
            self._plane,
            self._jobs,
            host=self.host,
            url=self.url,
            domain=data_plane.DOMAIN,
            version=VERSION,
        )
        certificate, key = self._plane.server_certificate
        config = uvicorn.Config(
            Guard(server, Starlette(routes=routes(server))),
            ssl_certfile=str(certificate),
            ssl_keyfile=str(key),
            log_level="error",
            log_config=None,
            access_log=False,
            lifespan="off",
            timeout_keep_alive=60,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [listening]}, name="emulator rest", daemon=True
        )
        self._thread.start()
        deadline = time.monotonic() + 10.0
        while not self._server.started:
            if not self._thread.is_alive() or time.monotonic() > deadline:
                raise OSError(f"the REST server did not start on {self.host}:{self.port}")
            time.sleep(0.005)
