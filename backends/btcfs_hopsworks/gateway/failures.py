"""The client's exceptions as ours: who must act, and what to do."""

from __future__ import annotations

from typing import Any

from btcfs.errors import AuthError, BtcfsError, DefinitionError, NotFound, StoreUnavailable
from btcfs_hopsworks.address import SCOPES

_ILL_DEFINED = {270040, 270089, 270091, 270171, 270176, 270179, 270224}
_UNKNOWN = {270009, 270181, 270012}


def ours(what: str, exc: BaseException) -> BtcfsError:
    """The error of btcfs for an exception out of the client; ``what`` says what was being done."""
    if isinstance(exc, BtcfsError):
        return exc
    response = getattr(exc, "response", None)
    status = getattr(response, "status_code", None)
    if status is not None:
        return _answered(what, exc, int(status))
    if "ProjectException" in type(exc).__name__:
        return NotFound(f"{what}: {exc}")
    return StoreUnavailable(f"{what} failed: {type(exc).__name__}: {_short(exc)}{_hint(exc)}")


def _answered(what: str, exc: BaseException, status: int) -> BtcfsError:
    # The attribute is absent if the body was an empty object.
    code = getattr(exc, "error_code", None)
    said = _said(exc)
    if status == 401:
        return AuthError(
            f"{what}: Hopsworks refuses the API key (401{said}). It may be mistyped, expired or deleted; create another "
            f"under Account Settings, API, and set BTCFS_HOPSWORKS_API_KEY"
        )
    if status == 403:
        return AuthError(
            f"{what}: the API key lacks a scope, or its user a role in the project (403{said}). The key needs "
            f"{', '.join(SCOPES)}"
        )
    if code in _UNKNOWN or status == 404:
        return NotFound(f"{what}: Hopsworks does not know it ({status}{said})")
    if code in _ILL_DEFINED:
        return DefinitionError(f"{what}: Hopsworks refuses the definition ({status}{said})")
    if status == 429:
        return StoreUnavailable(
            f"{what}: Hopsworks says there were too many requests (429{said}); wait a minute and try again"
        )
    return StoreUnavailable(f"{what}: Hopsworks answers {status}{said}")


def _said(exc: Any) -> str:
    """What the answer says that an error of the client came with."""
    try:
        body = exc.response.json()
    except ValueError:
        return ""
    if not isinstance(body, dict):
        return ""
    parts = [str(body[name]) for name in ("errorCode", "errorMsg", "usrMsg") if body.get(name)]
    return ": " + " ".join(parts) if parts else ""


def _short(exc: BaseException) -> str:
    text = " ".join(str(exc).split())
    return text if len(text) <= 400 else text[:400] + " ..."


def _hint(exc: BaseException) -> str:
    text = f"{type(exc).__name__} {exc}"
    if "TOPIC_AUTHORIZATION_FAILED" in text or "deliver" in text:
        return ". Kafka did not take the rows; nothing of them is visible, run the same again when it does"
    if "Query Service" in text:
        return ". Offline reads need the Hopsworks Query Service on port 5005"
    if "SSL" in text or "certificate" in text:
        return ". Check trust_store_path and hostname_verification"
    if "Proxy" in text:
        return ". A proxy of the environment (HTTPS_PROXY) is in the way; add the host to NO_PROXY if it should not be"
    return ""
