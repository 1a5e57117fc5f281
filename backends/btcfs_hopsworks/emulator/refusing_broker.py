"""A Kafka broker that lets nobody write: what clients of a project without rights to its topic meet.

It speaks just enough of the protocol (ApiVersions and Metadata) to say so. Source: the Kafka protocol guide.
"""

from __future__ import annotations

import socketserver
import struct
import threading

import attrs

_API_VERSIONS, _METADATA = 18, 3
_SUPPORTED = ((_METADATA, 1, 1), (_API_VERSIONS, 0, 0))
_UNSUPPORTED_VERSION, _TOPIC_AUTHORIZATION_FAILED = 35, 29


@attrs.frozen
class RefusingBroker:
    """A running server; ``close`` ends it."""

    bootstrap_servers: str
    _server: socketserver.ThreadingTCPServer = attrs.field(repr=False)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def start(host: str = "127.0.0.1") -> RefusingBroker:
    """Starts one on a free port."""
    server = socketserver.ThreadingTCPServer((host, 0), _Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, name="emulator-refusing-kafka", daemon=True).start()
    return RefusingBroker(f"{host}:{server.server_address[1]}", server)


class _Handler(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        host, port = self.request.getsockname()
        while size := self.rfile.read(4):
            request = self.rfile.read(struct.unpack(">i", size)[0])
            answer = answered(request, host, port)
            self.wfile.write(struct.pack(">i", len(answer)) + answer)


def answered(request: bytes, host: str, port: int) -> bytes:
    """The answer to one request, without its length. ValueError if it is for something else than metadata."""
    kind, version, number, client = struct.unpack_from(">hhih", request)
    body = request[10 + max(client, 0) :]
    if kind == _API_VERSIONS:
        return struct.pack(">i", number) + _api_versions(version)
    if kind == _METADATA:
        return struct.pack(">i", number) + _metadata(body, host, port)
    raise ValueError(f"request of kind {kind}: this broker answers only about its metadata")


def _api_versions(version: int) -> bytes:
    # A client that asks with a newer version is told the supported one in the oldest format, and asks again.
    error = 0 if version == 0 else _UNSUPPORTED_VERSION
    supported = b"".join(struct.pack(">hhh", *each) for each in _SUPPORTED)
    return struct.pack(">hi", error, len(_SUPPORTED)) + supported


def _metadata(body: bytes, host: str, port: int) -> bytes:
    no_rack, topics = struct.pack(">h", -1), _topics(body)
    broker = struct.pack(">i", 1) + _text(host) + struct.pack(">i", port) + no_rack
    refused = b"".join(
        struct.pack(">h", _TOPIC_AUTHORIZATION_FAILED) + _text(topic) + struct.pack(">?i", False, 0) for topic in topics
    )
    return struct.pack(">i", 1) + broker + struct.pack(">ii", 1, len(topics)) + refused


def _topics(body: bytes) -> list[str]:
    (count,), place, names = struct.unpack_from(">i", body), 4, []
    for _ in range(count):
        (length,) = struct.unpack_from(">h", body, place)
        names.append(body[place + 2 : place + 2 + length].decode())
        place += 2 + length
    return names


def _text(text: str) -> bytes:
    raw = text.encode()
    return struct.pack(">h", len(raw)) + raw
