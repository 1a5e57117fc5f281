"""What the REST half needs from the half that holds the data: the seam between the two."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import attrs

from btcfs_hopsworks.emulator.metadata import Commit, Group, Project


@attrs.frozen
class Services:
    """Where the emulator listens and what it runs on.

    ``host`` is a loopback address of its own, because Flight (5005), MySQL (3306) and the RonDB REST
    server (4406) have fixed ports. ``mysql`` and ``kafka`` are addresses of real servers
    (``user:password@host:port``, ``host:port``), or ``private``: then a MariaDB and a tansu are started,
    which must be installed. Without them pip-installed stand-ins are started.
    """

    host: str = "127.0.0.1"
    port: int = 0
    mysql: str | None = None
    kafka: str | None = None


@attrs.frozen
class Credentials:
    """What ``GET /project/{id}/credentials`` answers: two base64 stores, their password, three PEM texts."""

    key_store: str
    trust_store: str
    password: str
    ca_chain: str
    client_certificate: str
    client_key: str


@attrs.frozen
class OnlineAddress:
    """How clients reach MySQL."""

    host: str
    port: int
    user: str
    password: str


class DataPlane(Protocol):
    """Certificates, Kafka, the warehouse, MySQL, Flight and the RonDB REST server.

    ``emulator.data_plane.start(state, knobs, calls, services) -> DataPlane`` starts them all, and does
    not return before they can be reached. The payload of an offline query (``hqsPayload``) is the JSON
    object ``{"sql": <DuckDB SQL>}``; tables are ``"<Project.featurestore>"."<Group.table>"`` with the
    current rows and ``"…"."<Group.history_table>"`` with every committed one; a Flight path command
    names a file by its HopsFS path (``State.file``).
    """

    @property
    def server_certificate(self) -> tuple[Path, Path]:
        """PEM files of the certificate chain and key that REST serves with."""
        ...

    @property
    def ca_certificate(self) -> Path:
        """A PEM file that clients may trust."""
        ...

    @property
    def bootstrap_servers(self) -> str: ...

    @property
    def online_address(self) -> OnlineAddress: ...

    def credentials(self, project: Project) -> Credentials: ...

    def create_group(self, group: Group) -> None:
        """Makes the tables of a group (online ones if it is online enabled) and starts following its topic."""
        ...

    def change_group(self, before: Group, after: Group) -> None:
        """Adds the columns of appended features, and the online table if it has just been enabled."""
        ...

    def drop_group(self, group: Group) -> None:
        """Drops its tables; rows still in Kafka are for nobody."""
        ...

    def clear_group(self, group: Group) -> None:
        """Deletes its rows, and those still in Kafka, but not its tables."""
        ...

    def materialise(self, group: Group) -> Commit | None:
        """Moves what Kafka holds for the group into the warehouse, and records the commit; None if nothing."""
        ...

    def query(self, sql: str) -> Any:
        """The answer of the warehouse, as a pyarrow Table. duckdb.Error if the SQL is wrong."""
        ...

    def close(self) -> None:
        """Stops everything it started; may be called twice."""
        ...
