"""The messages that clients write to Kafka, and what their headers say about where a row goes."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterable
from typing import cast

import attrs
from confluent_kafka import Message

_Headers = list[tuple[str, bytes | None]]


@attrs.frozen
class Record:
    """One message: the row of one group, and what its headers say about where it goes."""

    group_id: int
    value: bytes
    arrived: float
    """By time.monotonic()."""
    ingestion_id: int | None = None
    storage: str | None = None
    """``online`` or ``offline``; None is both."""
    deletes: bool = False
    if_newer: bool = False

    @property
    def goes_online(self) -> bool:
        return self.storage != "offline"

    @property
    def goes_offline(self) -> bool:
        return self.storage != "online" and not self.deletes


def record_of(message: Message) -> Record | None:
    """A message's record, by the headers that the client writes; None for a message that is of no group.

    Older clients wrote ``0`` and ``1`` for rows that are offline only, or both.
    """
    headers: dict[str, bytes] = {name: raw or b"" for name, raw in cast(_Headers, message.headers() or ())}
    value = message.value()
    if "featureGroupId" not in headers or value is None:
        return None
    ingestion = headers.get("onlineIngestionId")
    storage = headers.get("storage", b"").decode()
    return Record(
        group_id=int(headers["featureGroupId"]),
        value=value,
        arrived=time.monotonic(),
        ingestion_id=int(ingestion) if ingestion else None,
        storage={"0": "offline", "1": None, "": None}.get(storage, storage),
        deletes=headers.get("operation") == b"delete",
        if_newer=headers.get("upsertIfNewer") == b"1",
    )


def runs(records: Iterable[Record], limit: int = 1000) -> Iterable[list[Record]]:
    """Consecutive records that one statement can write: same group, same ingestion, same operation."""
    for _, run in itertools.groupby(records, lambda r: (r.group_id, r.ingestion_id, r.deletes, r.if_newer)):
        while batch := list(itertools.islice(run, limit)):
            yield batch
