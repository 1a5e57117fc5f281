"""Rows in Feast's online store, each packed into one value that any online store keeps whole."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any, Protocol

import attrs
import numpy as np
import pandas as pd

from btcfs.definitions import FeatureGroup
from btcfs.instants import from_micros
from btcfs_feast.naming import KEY, PAYLOAD, online_name
from btcfs_feast.repository import Repository

_HEADER = struct.Struct("<8sqq")
NEWEST, HEAD = "", "head"


@attrs.frozen(eq=False)
class Cell:
    """A row as it is served: times in microseconds, the numeric features in the group's order."""

    event_time: int
    opens: int
    values: np.ndarray[Any, np.dtype[np.float64]]


@attrs.frozen
class Head:
    """Up to which write a group is online, and the open time before which no row of it is."""

    seq: int = 0
    oldest: int = 0


@attrs.frozen
class Put:
    """A value to be stored under an entity and a key."""

    entity: tuple[str, ...]
    key: str
    payload: bytes


def pack(identity: str, cell: Cell) -> bytes:
    return _HEADER.pack(identity.encode(), cell.event_time, cell.opens) + cell.values.astype("<f8").tobytes()


def unpack(identity: bytes, payload: bytes | None) -> Cell | None:
    """The cell, or None if there is none or it is of a group that was deleted."""
    if payload is None:
        return None
    owner, event_time, opens = _HEADER.unpack_from(payload)
    if owner != identity:
        return None
    return Cell(event_time, opens, np.frombuffer(payload, dtype="<f8", offset=_HEADER.size))


class Cells(Protocol):
    """Where rows are served from."""

    def cells(self, asked: Sequence[tuple[tuple[str, ...], str]]) -> list[Cell | None]:
        """The cell of each entity and key, None where there is none."""


class OnlineView:
    """The online rows of one group.

    One value holds a whole row. Feast writes features one by one in some stores, drops rows that are all
    NaN (feast-dev/feast ``write_to_online_store``), casts without a word (#3884) and keeps seconds in
    SQLite; of one packed value none of this is true. Which write is newer is decided here and not by the
    store, for only Redis compares timestamps: each write has a later one than all before it.
    """

    def __init__(self, repository: Repository, group: FeatureGroup, identity: str) -> None:
        self._repository = repository
        self._group = group
        self._identity = identity.encode()
        self._reference = [f"{online_name(group)}:{PAYLOAD}"]
        self._no_entity = dict.fromkeys(group.entity, "")

    def cells(self, asked: Sequence[tuple[tuple[str, ...], str]]) -> list[Cell | None]:
        """The cell of each entity and key, None where there is none."""
        rows = [{**dict(zip(self._group.entity, entity, strict=True)), KEY: key} for entity, key in asked]
        return [unpack(self._identity, payload) for payload in self._payloads(rows)]

    def head(self) -> Head:
        """Up to where the rows are online; the number 0 if nothing is."""
        # The first call of all to an online store, which may be one that never answers.
        (payload,) = self._repository.asked("online store", lambda: self._payloads([{**self._no_entity, KEY: HEAD}]))
        cell = unpack(self._identity, payload)
        return Head() if cell is None else Head(cell.event_time, cell.opens)

    def put(self, puts: Sequence[Put], head: Head, at: int) -> None:
        """Store values, and then that the rows are there up to ``head``."""
        signature = pack(self._identity.decode(), Cell(head.seq, head.oldest, np.zeros(0)))
        puts = [*puts, Put(tuple(self._no_entity.values()), HEAD, signature)]
        columns: dict[str, Any] = {
            name: [put.entity[place] for put in puts] for place, name in enumerate(self._group.entity)
        }
        instant = pd.Series([from_micros(at)] * len(puts), dtype="datetime64[us, UTC]")
        frame = pd.DataFrame(
            {
                **columns,
                KEY: [put.key for put in puts],
                PAYLOAD: [put.payload for put in puts],
                self._group.event_time: instant,
            }
        )
        with self._repository.translated("online store"), self._repository.online():
            self._repository.feast.write_to_online_store(online_name(self._group), frame)

    def _payloads(self, rows: list[dict[str, str]]) -> list[bytes | None]:
        with self._repository.translated("online store"), self._repository.online():
            response = self._repository.feast.get_online_features(features=self._reference, entity_rows=rows)
        found: list[bytes | None] = response.to_dict()[PAYLOAD]
        return found


def key_of(opens: int | None) -> str:
    """The key of a row's cell: its open time, or the newest."""
    return NEWEST if opens is None else str(opens)
