"""The predictor on a real socket with a real models folder: what a stranger may not do, and what a damaged model cannot."""

from __future__ import annotations

import hashlib
import json
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import httpx
import pytest

from btcfs.training.bundle import Bundle
from btcfs.training.registry import Registry
from served import listening_server, market

pytest.importorskip("sklearn", reason="scikit-learn is in the extra 'train'")
pytest.importorskip("uvicorn", reason="uvicorn is in the extra 'serve'")
from btcfs.serving import create_app
from server import ADMIN, PASSED, TOKEN, Server, model_server

BODY_SECONDS = 1.0
HEAD_SECONDS = 1.0


@pytest.fixture
def server(frame_source: Callable[..., Any], tmp_path: Path) -> Iterator[Server]:
    """One active model over the embedded default, and impatience with slow clients."""
    source = frame_source(market(900))
    with model_server(tmp_path, source, head_seconds=HEAD_SECONDS, body_seconds=BODY_SECONDS) as served:
        yield served


def refused(answer: httpx.Response, status: int, *words: str) -> None:
    """A problem document of that status that says why and shows nothing of the inside."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == status
    assert [word for word in words if word not in problem["detail"]] == []
    assert "Traceback" not in answer.text


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer wrong"},
        {"Authorization": f"Bearer {TOKEN[:-1]}"},
        {"Authorization": f"Bearer {TOKEN}x"},
        {"Authorization": f"Basic {TOKEN}"},
        {"Authorization": "Bearer " + "x" * 5_000},
        {"Authorization": b"Bearer \xff\xfe"},
    ],
)
def test_the_administrators_routes_want_the_token(server: Server, headers: dict[str, Any]) -> None:
    """Without the token, or with any other, nothing is activated and nothing reloaded."""
    before, candidate = server.answering(), server.trained()

    for path in (f"/v1/models/{candidate.version}/activate", "/v1/reload"):
        refused(server.client.post(path, headers=headers), 401, "Authorization: Bearer TOKEN")

    assert server.registry.active_version() == before == server.answering()


def test_without_a_token_the_administrators_routes_are_closed(server: Server) -> None:
    """A server that was given no token, or an empty one, lets nobody in, with any header."""
    for token in (None, ""):
        app = create_app(store=server.store, models=server.registry.models_dir, admin_token=token)
        with listening_server(app) as (host, port), httpx.Client(base_url=f"http://{host}:{port}") as client:
            for headers in ({}, {"Authorization": "Bearer"}, {"Authorization": "Bearer None"}, ADMIN):
                refused(client.post("/v1/reload", headers=headers), 403, "BTCFS_ADMIN_TOKEN")


def test_activation_over_http_obeys_the_gate(server: Server) -> None:
    """A version that does not beat its baseline stays a candidate; a reason forces it, and is recorded."""
    before = server.answering()
    weak = server.trained(checks=[{**PASSED[0], "passed": False}, *PASSED[1:]])
    unchecked = server.trained(checks=[])

    refused(server.activate(weak.version), 409, "stays a candidate", "beats_baseline")
    refused(server.activate(unchecked.version), 409, "features_certified (was not made)")
    refused(server.activate(weak.version, force_reason="  "), 422)
    refused(server.activate(weak.version, because="I say so"), 422, "because")
    assert server.answering() == before

    assert server.activate(weak.version, force_reason="a rehearsal").status_code == 200
    assert server.answering() == weak.version
    assert server.registry.show(weak.version)["activations"][0]["force_reason"] == "a rehearsal"


@pytest.mark.parametrize("name", ["bundle.json", "classification.npz", "regression.npz", "SHA256SUMS"])
def test_a_tampered_bundle_is_refused(server: Server, name: str) -> None:
    """One changed bit in any file of a bundle, and neither activation nor reload takes it; the running model goes on."""
    before, candidate = server.answering(), server.trained()
    _flip(candidate.path / name)
    refused(server.activate(candidate.version, force_reason="all the same"), 422, str(candidate.version))
    _flip(server.registry.models_dir / before / name)
    refused(server.client.post("/v1/reload", headers=ADMIN), 422)

    assert server.answering() == before
    told = server.client.get("/ready").json()["refused_model"]
    assert before in told
    assert str(server.registry.models_dir.parent) not in told


def test_a_bundle_of_another_feature_order_is_refused(server: Server) -> None:
    """A model whose features stand in another order than the stored view's is another view, and is not served."""
    before = server.answering()
    turned = attrs.evolve(server.view, features=server.view.features[::-1])
    refused(server.activate(server.trained(turned).version, force_reason="x y z"), 404, "not stored")
    claiming = server.trained(turned)
    _rewritten(server.registry, claiming, view_fingerprint=server.view.fingerprint)
    refused(server.activate(claiming.version, force_reason="x y z"), 422, "fingerprint")

    assert server.registry.active_version() == before == server.answering()


def test_a_model_whose_view_is_gone_is_refused(server: Server) -> None:
    """Not even force activates a model that reads a view the store does not have, and the registry stays as it was."""
    before = server.answering()
    second = attrs.evolve(server.view, name="other_view")
    server.store.apply(second)
    candidate = server.trained(second)
    server.store.delete(second)

    refused(server.activate(candidate.version, force_reason="x y z"), 404, "not stored", "btcfs ingest create-view")

    assert server.registry.active_version() == before == server.answering()
    assert server.client.get("/ready").status_code == 200


def test_a_model_of_an_unknown_form_is_refused(server: Server) -> None:
    """A bundle that names a form of model that is not known here is refused, though its sums are right."""
    before, candidate = server.answering(), server.trained()
    spec = json.loads((candidate.path / "bundle.json").read_text())["classification"]
    _rewritten(server.registry, candidate, classification={**spec, "form": "os.system"})

    refused(server.activate(candidate.version, force_reason="x y z"), 422, "os.system")

    assert server.answering() == before


@pytest.mark.parametrize(
    "version",
    [
        "../../etc/passwd",
        "..%2f..%2fetc%2fpasswd",
        "%2e%2e%2f%2e%2e%2fstore",
        "..",
        "%00",
        "v20240601T000000Z%2f..%2f..",
        "v20240601T000000Z%00",
        "v20240601T000000Z%0a",
        "~root",
        "%5c%5chost%5cshare",
    ],
)
def test_no_version_leads_out_of_the_models_folder(server: Server, version: str) -> None:
    """Names that would lead elsewhere are not found, whoever asks."""
    head = f"Host: x\r\nAuthorization: Bearer {TOKEN}\r\nConnection: close\r\n"
    for line in (f"GET /v1/models/{version}", f"POST /v1/models/{version}/activate"):
        status, text = _raw(server.address, f"{line} HTTP/1.1\r\n{head}\r\n".encode())
        assert status in (404, 405), text
        assert "root:" not in text

    assert server.answering() == server.registry.active_version()


def test_a_manifest_that_leads_elsewhere_is_refused(server: Server, tmp_path: Path) -> None:
    """A path in the manifest, and a listed file, stay in the version's own folder."""
    before, candidate = server.answering(), server.trained()
    candidate.path.rename(tmp_path / "elsewhere")
    manifest = server.registry.models_dir / "manifest.json"
    manifest.write_text(manifest.read_text().replace(f'"path": "{candidate.version}"', '"path": "../elsewhere"'))
    refused(server.activate(candidate.version), 422, "../elsewhere")
    outside = server.trained()
    sums = outside.path / "SHA256SUMS"
    sums.write_text(sums.read_text() + "0" * 64 + "  ../../store/lock\n")
    refused(server.activate(outside.version), 422, "not a list of SHA-256 sums")

    assert server.answering() == before


@pytest.mark.parametrize(
    "symbol", ["../../etc/passwd", "BTC-USD/../../x", "BTC-USD'; DROP TABLE x;--", "\x00", "a" * 99]
)
def test_no_market_name_leads_anywhere(server: Server, symbol: str) -> None:
    """A market that is not stored is not found or no name at all, in bodies and in queries."""
    for answer in (
        server.client.post("/predict", json={"symbol": symbol}),
        server.client.get("/v1/features", params={"symbol": symbol}),
        server.client.get("/v1/window", params={"symbol": symbol, "n": 1}),
    ):
        assert answer.status_code in (404, 422), answer.text
        refused(answer, answer.status_code)


def test_an_oversized_body_is_refused(server: Server) -> None:
    """A body beyond the limit is a 413 before it is read, and in chunks as soon as it is known; the connection ends."""
    host = "Host: x\r\nContent-Type: application/json\r\n"
    told = _raw(server.address, f"POST /predict HTTP/1.1\r\n{host}Content-Length: 99999999999\r\n\r\n".encode())
    chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
    chunked = f"POST /predict HTTP/1.1\r\n{host}Transfer-Encoding: chunked\r\n\r\n".encode() + chunk * 3
    for status, text in (told, _raw(server.address, chunked)):
        assert (status, "urn:btcfs:too-large" in text) == (413, True)
        assert "connection: close" in text.lower()
    batch = {"requests": [{"symbol": "x" * 30}] * 40_000}
    refused(server.client.post("/v1/predict/batch", json=batch), 413)

    assert server.answering()


def test_slow_clients_are_sent_away_and_others_served(server: Server) -> None:
    """Bodies and heads that come a byte at a time end within a bound, while everybody else is answered."""
    head = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n"
    starts = [head, head + b"{", b"POST /pre", b"GET /health HTTP/1.1\r\nHost: x\r\nX-", b""]
    slow = [SlowClient(start, _connected(server.address)) for start in starts for _ in range(8)]
    began = time.monotonic()
    while any(not client.ended for client in slow) and time.monotonic() - began < 20:
        assert server.client.post("/predict", json={}).status_code == 200
        for client in slow:
            client.drip()

    assert [client.start for client in slow if not client.ended] == []
    assert all(b"408" in client.received for client in slow if client.start.startswith(head))


def test_a_reload_drops_no_request(server: Server) -> None:
    """While versions come and go, every request is answered by the old or the new model."""
    versions = [server.answering(), server.trained().version]
    seen = set()
    for n in range(10):
        assert server.activate(versions[n % 2]).status_code == 200
        seen |= {server.answering() for _ in range(5)}

    assert seen == set(versions)


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


def _rewritten(registry: Registry, bundle: Bundle, **content: Any) -> None:
    """The bundle with other content, its sums and its digest in the manifest made to fit, as an attacker could."""
    path = bundle.path / "bundle.json"
    value = {**json.loads(path.read_text()), **content}
    old = hashlib.sha256(path.read_bytes()).hexdigest()
    path.write_text(json.dumps(value))
    sums = bundle.path / "SHA256SUMS"
    sums.write_text(sums.read_text().replace(old, hashlib.sha256(path.read_bytes()).hexdigest()))
    digest = hashlib.sha256(sums.read_bytes()).hexdigest()
    manifest = registry.models_dir / "manifest.json"
    manifest.write_text(manifest.read_text().replace(bundle.digest, digest))


def _connected(address: tuple[str, int]) -> socket.socket:
    return socket.create_connection(address, timeout=30)


def _raw(address: tuple[str, int], request: bytes) -> tuple[int, str]:
    """The status and the whole text of an answer, after which the server has closed the connection."""
    with _connected(address) as connection:
        connection.sendall(request)
        received = b""
        while part := connection.recv(65_536):
            received += part
    text = received.decode("utf-8", errors="replace")
    return int(text.split(" ", 2)[1]), text


@attrs.define
class SlowClient:
    """A connection that sends the beginning of a request and then a byte at a time, until the server ends it."""

    start: bytes
    connection: socket.socket
    received: bytes = b""
    ended: bool = False

    def __attrs_post_init__(self) -> None:
        self.connection.settimeout(0.005)
        self.connection.sendall(self.start)

    def drip(self) -> None:
        if self.ended:
            return
        try:
            self.connection.send(b"x")
            part = self.connection.recv(65_536)
        except TimeoutError:
            return
        except ConnectionError:
            part = b""
        self.received += part
        if not part:
            self.ended = True
            self.connection.close()
