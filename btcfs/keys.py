"""What an online key says: which entity, and which candle or the newest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from btcfs.definitions import TIME_KEY, FeatureGroup
from btcfs.errors import NotFound, SchemaError
from btcfs.instants import from_micros, to_micros


def resolve_key(
    group: FeatureGroup, key: Mapping[str, Any], defaults: Mapping[str, str] | None = None
) -> tuple[tuple[str, ...], int | None]:
    """The entity values and the candle's open time in microseconds, None for the newest.

    Entity columns that the key leaves out come from ``defaults``. SchemaError for a column that is
    unknown, missing or not text, and for a naive time.
    """
    unknown = [str(name) for name in key if name not in group.primary_key]
    if unknown:
        raise SchemaError(
            f"key {dict(key)} has unknown {', '.join(unknown)}; {group.title} has the key {group.primary_key}"
        )
    entity = []
    for name in group.entity:
        value = key.get(name, (defaults or {}).get(name))
        if not isinstance(value, str):
            raise SchemaError(f"key {dict(key)} lacks the text {name!r}; {group.title} has the key {group.primary_key}")
        entity.append(value)
    time = key.get(TIME_KEY)
    return tuple(entity), None if time is None else to_micros(time)


def show_key(group: FeatureGroup, entity: tuple[str, ...], time: int | None) -> dict[str, Any]:
    """The key as a mapping, for messages and vectors."""
    shown: dict[str, Any] = dict(zip(group.entity, entity, strict=True))
    if time is not None:
        shown[TIME_KEY] = from_micros(time)
    return shown


def no_such_key(group: FeatureGroup, entity: tuple[str, ...], time: int | None) -> NotFound:
    """The error for a key that has no row."""
    pairs = ", ".join(f"{name}={value}" for name, value in show_key(group, entity, time).items())
    return NotFound(
        f"{group.title} has no row for {{{pairs}}}; btcfs ingest adds rows, btcfs verify shows what is there"
    )
