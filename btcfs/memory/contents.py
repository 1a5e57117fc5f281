"""What a memory store holds: every state of every row, and which of them answers a question."""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from threading import RLock
from typing import Any

import attrs

from btcfs.definitions import Definition, FeatureGroup
from btcfs.store import Commit

Key = tuple[Any, ...]
Content = tuple[int, tuple[Any, ...]]  # event time and values


@attrs.frozen
class Row:
    """One state of one key: times in microseconds, values in the group's order, None for a missing string or time."""

    key: Key
    event_time: int
    values: tuple[Any, ...]
    committed_at: int


@attrs.define
class Contents:
    """What one memory store holds; stores opened on the same contents share it.

    ``tables`` has for each group and key every row it ever had, the newest last; ``changes`` counts
    for each group how often it, its rows or its views changed. ``turn`` is the writer's place, which is taken before
    ``lock``, so that others read while it is held.
    """

    definitions: list[Definition] = attrs.field(factory=list)
    tables: dict[tuple[str, int], dict[Key, list[Row]]] = attrs.field(factory=dict)
    committed: dict[tuple[str, int], list[Commit]] = attrs.field(factory=dict)
    commits: int = 0
    last_commit: int = 0
    changes: Counter[tuple[str, int]] = attrs.field(factory=Counter)
    lock: RLock = attrs.field(factory=RLock, repr=False)
    turn: RLock = attrs.field(factory=RLock, repr=False)


def newest_at(rows: Sequence[Row], at: int | None) -> Row | None:
    """The last of rows in event-time order that is known at that instant, or at all."""
    count = len(rows) if at is None else bisect_right([row.event_time for row in rows], at)
    return rows[count - 1] if count else None


def numbers(group: FeatureGroup, row: Row, names: Sequence[str]) -> list[float]:
    return [float(row.values[group.feature_names.index(name)]) for name in names]


def same_bits(old: Any, new: Any) -> bool:
    if isinstance(old, float) and isinstance(new, float):
        return (old != old and new != new) or struct.pack("<d", old) == struct.pack("<d", new)
    return bool(old == new)
