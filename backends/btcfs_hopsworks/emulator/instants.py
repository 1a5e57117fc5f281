"""Instants as the API writes them; inside, every time is epoch milliseconds."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def iso(milliseconds: int) -> str:
    """``2024-01-01T00:00:00.000Z``"""
    return _at(milliseconds).strftime("%Y-%m-%dT%H:%M:%S.") + f"{milliseconds % 1000:03d}Z"


def timestamp_text(milliseconds: int, *, date: bool = False) -> str:
    """``2024-01-01 00:00:00.000``, or ``2024-01-01``, as filters have it."""
    at = _at(milliseconds)
    return at.strftime("%Y-%m-%d") if date else at.strftime("%Y-%m-%d %H:%M:%S.") + f"{milliseconds % 1000:03d}"


def _at(milliseconds: int) -> datetime:
    return _EPOCH + timedelta(milliseconds=milliseconds)
