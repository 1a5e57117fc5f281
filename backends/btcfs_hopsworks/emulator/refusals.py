"""Kafka addresses that a client gets nowhere with: one that lets nobody write, and one that never answers."""

from __future__ import annotations

import socket
from types import TracebackType

import attrs

from btcfs_hopsworks.emulator import refusing_broker


@attrs.define
class Refusals:
    """Both of them, while the context lasts."""

    _refusing: refusing_broker.RefusingBroker = attrs.field(factory=refusing_broker.start, init=False)
    _listening: socket.socket = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        # A listening socket that nobody accepts from: connecting works, and then nothing comes.
        self._listening = socket.create_server(("127.0.0.1", 0))

    @property
    def unauthorised(self) -> str:
        """Every topic answers with TOPIC_AUTHORIZATION_FAILED."""
        return self._refusing.bootstrap_servers

    @property
    def silent(self) -> str:
        """The connection is made, and no request is answered."""
        host, port = self._listening.getsockname()
        return f"{host}:{port}"

    def __enter__(self) -> Refusals:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._refusing.close()
        self._listening.close()
