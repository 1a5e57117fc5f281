"""The administrator's token."""

from __future__ import annotations

import hmac

from starlette.requests import Request

from btcfs.errors import AuthError
from btcfs.serving.problems import Unauthorized


def require_admin(request: Request, token: str | None) -> None:
    """Let through a request whose bearer token is the administrator's, compared in constant time.

    AuthError if there is no administrator, for then nobody may; Unauthorized without or with another token.
    """
    if not token:
        raise AuthError("this server has no administrator token, so nobody may do that; set BTCFS_ADMIN_TOKEN")
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    same = hmac.compare_digest(given.strip().encode("utf-8"), token.encode("utf-8"))
    if scheme.lower() != "bearer" or not same:
        raise Unauthorized("send the administrator's token as: Authorization: Bearer TOKEN")
