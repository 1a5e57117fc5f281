"""Each error as a problem document and an HTTP status; nothing of the inside of the server is in it."""

from __future__ import annotations

import logging
import re
from http import HTTPStatus

import msgspec

from btcfs.errors import (
    AuthError,
    BtcfsError,
    ConfigError,
    DefinitionError,
    InsufficientHistory,
    NotFound,
    SchemaError,
    StoreBusy,
    StoreUnavailable,
    Unsupported,
)
from btcfs.serving.bodies import Problem, encode

CONTENT_TYPE = "application/problem+json"
RETRY_SECONDS = 1

_log = logging.getLogger(__name__)

# An absolute path of several parts; of a model version's file the version's folder counts as its last part too.
_PATH = re.compile(
    r"(?<![\w.:/\\])(?:[A-Za-z]:)?[/\\](?:[^/\\\s:'\"]+[/\\])+?"
    r"((?:v\d{8}T\d{6}Z[\d-]*[/\\])?[^/\\\s:'\"]+)(?![^\s:'\"])"
)


class TooLarge(SchemaError):
    """A body of more bytes than the server takes."""


class Malformed(SchemaError):
    """A body that is not of the format it says it is."""


class TooSlow(SchemaError):
    """A body that did not arrive in time."""


class Unauthorized(AuthError):
    """A request for the administrator without the right token."""


class Late(StoreUnavailable):
    """The store did not answer before the deadline."""


class Stale(StoreUnavailable):
    """The newest features are too old to predict from."""


_STATUS: tuple[tuple[type[BtcfsError], int, str], ...] = (
    (TooLarge, 413, "too-large"),
    (TooSlow, 408, "too-slow"),
    (Malformed, 400, "malformed"),
    (Unauthorized, 401, "unauthorized"),
    (Late, 504, "late"),
    (Stale, 503, "stale"),
    (InsufficientHistory, 422, "insufficient-history"),
    (SchemaError, 422, "invalid"),
    (NotFound, 404, "not-found"),
    (DefinitionError, 409, "definition"),
    (ConfigError, 409, "configuration"),
    (Unsupported, 501, "unsupported"),
    (StoreBusy, 503, "store-busy"),
    (AuthError, 403, "forbidden"),
    (StoreUnavailable, 503, "unavailable"),
    (BtcfsError, 409, "refused"),
)


def problem_of(error: Exception) -> Problem:
    """The problem document of any error; one that btcfs does not raise on purpose is logged and tells nothing."""
    if isinstance(error, msgspec.ValidationError):
        return _problem(422, "invalid", str(error))
    if isinstance(error, (msgspec.DecodeError, RecursionError)):
        return _problem(400, "malformed", f"the body is not JSON: {error}")
    for kind, status, name in _STATUS:
        if isinstance(error, kind):
            needed, have = getattr(error, "needed", None), getattr(error, "have", None)
            phrase = HTTPStatus(status).phrase
            return Problem(f"urn:btcfs:{name}", phrase, status, without_paths(str(error)), needed, have)
    _log.error("a request failed", exc_info=error)
    return _problem(500, "internal", "the server failed; its log says why")


def without_paths(text: str) -> str:
    """The text with the last part only of each absolute path: where things lie on the server is nobody's business."""
    return _PATH.sub(r"…/\1", text)


def status_problem(status: int, detail: str) -> Problem:
    """The problem document of a plain HTTP status, such as 404 for a path that does not exist."""
    return _problem(status, HTTPStatus(status).phrase.lower().replace(" ", "-"), detail)


def headers_of(problem: Problem) -> list[tuple[bytes, bytes]]:
    """The headers that go with a problem document, beside its length."""
    headers = [(b"content-type", CONTENT_TYPE.encode())]
    if problem.status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers.append((b"retry-after", str(RETRY_SECONDS).encode()))
    if problem.status in (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.REQUEST_ENTITY_TOO_LARGE):
        headers.append((b"connection", b"close"))  # else the rest of the body could go on arriving for ever
    if problem.status == HTTPStatus.UNAUTHORIZED:
        headers.append((b"www-authenticate", b'Bearer realm="btcfs"'))
    return headers


def encoded(problem: Problem) -> bytes:
    """The document as JSON."""
    return encode(problem)


def _problem(status: int, name: str, detail: str) -> Problem:
    return Problem(f"urn:btcfs:{name}", HTTPStatus(status).phrase, status, detail)
