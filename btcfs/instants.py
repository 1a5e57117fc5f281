"""Instants as whole microseconds of UTC since 1970, and back; naive times are refused."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from btcfs.errors import SchemaError

UTC = timezone.utc
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def to_micros(instant: datetime | str) -> int:
    """Microseconds since the epoch of a zoned datetime, or of an RFC 3339 text with an offset.

    SchemaError if the zone is missing: a naive time is never guessed.
    """
    if isinstance(instant, str):
        instant = parse_instant(instant)
    if not isinstance(instant, datetime):
        raise SchemaError(
            f"{instant!r} is not a time; pass a datetime with a zone or a text such as '2024-01-31T00:00:00Z'"
        )
    if instant.tzinfo is None:
        raise SchemaError(f"{instant} has no time zone; write {instant.isoformat()}+00:00 or attach tzinfo=UTC")
    return (instant - EPOCH) // _MICROSECOND


def micros_of(instant: datetime | str | None) -> int | None:
    """``to_micros`` of an instant that may be left out."""
    return None if instant is None else to_micros(instant)


def from_micros(micros: int) -> datetime:
    """The UTC datetime of so many microseconds since the epoch."""
    return EPOCH + int(micros) * _MICROSECOND


def parse_instant(text: str) -> datetime:
    """The zoned datetime of an RFC 3339 text; a bare date means midnight UTC."""
    value = text.strip()
    if value[-1:] in "zZ":
        value = value[:-1] + "+00:00"
    try:
        instant = datetime.fromisoformat(value)
    except ValueError as exc:
        raise SchemaError(f"{text!r} is not a time such as '2024-01-31' or '2024-01-31T12:00:00Z'") from exc
    if instant.tzinfo is None:
        if len(value) > 10:
            raise SchemaError(f"{text!r} has no time zone; append Z or an offset such as +00:00")
        instant = instant.replace(tzinfo=UTC)
    return instant


def now() -> datetime:
    """The present instant, in UTC."""
    return datetime.now(UTC)
