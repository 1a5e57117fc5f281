"""Rows in Feast's online store, each packed into one value that any online store keeps whole."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import attrs
import numpy as np
import pandas as pd

from btcfs.definitions import FeatureGroup
from btcfs.instants import from_micros
from btcfs_feast.naming import KEY, PAYLOAD
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
    """The online rows of one group, in ``view``, the Feast FeatureView that the registry has for them now.

    One value holds a whole row. Feast writes features one by one in some stores, drops rows that are all
    NaN (feast-dev/feast ``write_to_online_store``), casts without a word (#3884) and keeps seconds in
    SQLite; of one packed value none of this is true. Which write is newer is decided here and not by the
    store, for only Redis compares timestamps: each write has a later one than all before it.

    The online store is called through Feast's provider with the view itself. ``write_to_online_store`` and
    ``get_online_features`` look the view up by its name in Feast's copy of the registry, which may be older than
    the view (#5601); and that copy is looked up in turn in a cache of the whole process, kept by the copy's ``id()``
    (``feast.infra.registry.proto_registry_utils``), so that a copy which lies in memory where an old one lay is
    answered with what the old one had. SQL registries have nothing else to tell their copies apart.
    """

    def __init__(self, repository: Repository, group: FeatureGroup, identity: str, view: Any) -> None:
        from feast.protos.feast.types.EntityKey_pb2 import EntityKey
        from feast.protos.feast.types.Value_pb2 import Value

        self._repository = repository
        self._group = group
        self._identity = identity.encode()
        self._view = view
        self._names = [*group.entity, KEY]
        self._no_entity = ("",) * len(group.entity)
        self._entity_key, self._value = EntityKey, Value

    def cells(self, asked: Sequence[tuple[tuple[str, ...], str]]) -> list[Cell | None]:
        """The cell of each entity and key, None where there is none."""
        found = self._payloads(asked)
        return [unpack(self._identity, found[each]) for each in asked]

    def head(self) -> Head:
        """Up to where the rows are online; the number 0 if nothing is."""
        # The first call of all to an online store, which may be one that never answers.
        (cell,) = self._repository.asked("online store", lambda: self.cells([(self._no_entity, HEAD)]))
        return Head() if cell is None else Head(cell.event_time, cell.opens)

    def put(self, puts: Sequence[Put], head: Head, at: int) -> None:
        """Store values, and then that the rows are there up to ``head``."""
        signature = pack(self._identity.decode(), Cell(head.seq, head.oldest, np.zeros(0)))
        puts = [*puts, Put(self._no_entity, HEAD, signature)]
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
            self._repository.feast.provider.ingest_df(self._view, frame)

    def _payloads(
        self, asked: Sequence[tuple[tuple[str, ...], str]]
    ) -> dict[tuple[tuple[str, ...], str], bytes | None]:
        # Each key once, for DynamoDB refuses a key that is asked for twice.
        wanted = list(dict.fromkeys(asked))
        keys = [
            self._entity_key(join_keys=self._names, entity_values=[self._value(string_val=t) for t in (*entity, key)])
            for entity, key in wanted
        ]
        feast = self._repository.feast
        with self._repository.translated("online store"), self._repository.online():
            answers = feast.provider.online_read(feast.config, self._view, keys, [PAYLOAD])
        return {each: _payload(values) for each, (_, values) in zip(wanted, answers, strict=True)}


def _payload(values: Mapping[str, Any] | None) -> bytes | None:
    """The packed value of an answer; Redis answers for an unknown key too, with a value that is none."""
    if not values or not values[PAYLOAD].HasField("bytes_val"):
        return None
    payload: bytes = values[PAYLOAD].bytes_val
    return payload


def key_of(opens: int | None) -> str:
    """The key of a row's cell: its open time, or the newest."""
    return NEWEST if opens is None else str(opens)
