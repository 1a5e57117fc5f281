"""What is stored, and up to which write: one small online table of a project, read by one query and kept in mind."""

from __future__ import annotations

import base64
import json
import threading
import time
import zlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import attrs
import pandas as pd

from btcfs.catalogue import ordered
from btcfs.definitions import Definition, FeatureGroup, FeatureView, definition_from_dict
from btcfs.errors import DefinitionError, StoreUnavailable
from btcfs.instants import now, to_micros
from btcfs_hopsworks.gateway import groups
from btcfs_hopsworks.gateway.groups import Column
from btcfs_hopsworks.gateway.session import Session

NAME, VERSION = "btcfs_catalogue", 1
LARGEST = 60_000  # characters of a TEXT column of MySQL, with some room

_COLUMNS = (
    Column("entry", "string", "varchar(160)", description="kind, name and version"),
    Column("defined", "bigint", "bigint", description="when the definition came or went, in microseconds since 1970"),
    Column("changed", "bigint", "bigint", description="when anything of it changed last, in microseconds since 1970"),
    Column("head", "string", "text", description="up to which write a group's rows count"),
    Column("body", "string", "text", description="the definition; empty if it was deleted"),
)
_LIGHT = ("entry", "defined", "changed", "head")
_WHOLE = ("entry", "defined", "changed", "head", "body")


@attrs.frozen
class Head:
    """Which rows of a group's log count: those of writes after ``base`` up to ``write`` that are not in ``aborted``.

    ``commit`` and ``commit_id`` are the newest commit's. ``spans`` has for each entity digest the number of rows and
    the first and last event time, and is None where event times may move or the entities are many.
    """

    base: int
    write: int
    commit: int = 0
    commit_id: str = ""
    rows: int = 0
    aborted: tuple[int, ...] = attrs.field(default=(), converter=tuple)
    spans: Mapping[str, tuple[int, int, int]] | None = None

    def counts(self, write: int) -> bool:
        """Whether the rows of that write are visible."""
        return self.base < write <= self.write and write not in self.aborted

    def to_text(self) -> str:
        spans = None if self.spans is None else {name: list(span) for name, span in self.spans.items()}
        return _packed({**attrs.asdict(self, recurse=False), "aborted": list(self.aborted), "spans": spans})

    @staticmethod
    def from_text(text: str) -> Head:
        content = _unpacked(text)
        spans = content.pop("spans")
        kept = None if spans is None else {name: (int(n), int(a), int(b)) for name, (n, a, b) in spans.items()}
        return Head(**content, spans=kept)


@attrs.frozen
class Record:
    """A definition, None once it was deleted, and the head of a group; times are microseconds since 1970."""

    entry: str
    defined: int
    changed: int
    definition: Definition | None
    head: Head | None = None


@attrs.frozen
class Snapshot:
    """Every record at one moment."""

    records: Mapping[str, Record]

    @property
    def definitions(self) -> list[Definition]:
        return ordered(r.definition for r in self.records.values() if r.definition is not None)

    def record(self, definition: Definition) -> Record | None:
        """The record of that kind, name and version."""
        return self.records.get(entry_of(definition))

    def head(self, group: FeatureGroup) -> Head:
        """The head of a stored group."""
        record = self.records[entry_of(group)]
        if record.head is None:
            raise StoreUnavailable(f"the catalogue has no head for {group.title}; apply the group again")
        return record.head

    @property
    def last(self) -> int:
        """The newest instant that any record knows of."""
        heads = [max(r.head.commit, r.head.write) for r in self.records.values() if r.head is not None]
        return max([*heads, *(record.changed for record in self.records.values())], default=0)


def entry_of(definition: Definition) -> str:
    """The key under which a definition is kept."""
    kind = "view" if isinstance(definition, FeatureView) else "group"
    return f"{kind}/{definition.name}/{definition.version}"


class Ledger:
    """The catalogue of a project; safe for threads, and every store of a session shares one."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._lock = threading.Lock()
        self._records: dict[str, Record] = {}
        self._snapshot = Snapshot({})
        self._read_at = float("-inf")
        self._group: Any = None
        self._queries: tuple[Any, Any] | None = None

    def recent(self, seconds: float) -> Snapshot:
        """A snapshot no older than that, but for changes of this process, which are always in it."""
        if time.monotonic() - self._read_at < seconds:
            return self._snapshot
        return self.refresh()

    def refresh(self) -> Snapshot:
        """A snapshot read now."""
        if self._group is None:
            self._group = groups.find(self._session, NAME, VERSION)
            if self._group is None:
                return self._snapshot
        light, whole = self._prepared()
        asked_at = time.monotonic()
        found = groups.online_rows(self._session, light)
        if any(self._unknown(row) for row in found):
            found = groups.online_rows(self._session, whole)
        with self._lock:
            for row in found:
                self._take(row)
            self._renew(asked_at)
            return self._snapshot

    def put(self, records: Sequence[Record]) -> None:
        """Store records, and know them when that is done."""
        if self._group is None:
            self._group = groups.find(self._session, NAME, VERSION) or self._created()
        frame = pd.DataFrame([self._row(record) for record in records], columns=list(_WHOLE))
        groups.upsert_online(self._session, self._group, frame, self._session.address.timeout)
        with self._lock:
            for record in records:
                self._records[record.entry] = record
            self._snapshot = Snapshot(dict(self._records))

    def stamp(self) -> int:
        """An instant after all that are known, in microseconds."""
        return max(to_micros(now()), self._snapshot.last + 1)

    def _created(self) -> Any:
        return groups.create(
            self._session,
            NAME,
            VERSION,
            _COLUMNS,
            primary_key="entry",
            event_time=None,
            description="What btcfs keeps in this project; do not edit",
            statistics=False,
        )

    def _prepared(self) -> tuple[Any, Any]:
        if self._queries is None:
            self._queries = (groups.online_query(self._group, _LIGHT), groups.online_query(self._group, _WHOLE))
        return self._queries

    def _unknown(self, row: Mapping[str, Any]) -> bool:
        known = self._records.get(row["entry"])
        return known is None or known.defined < int(row["defined"])

    def _take(self, row: Mapping[str, Any]) -> None:
        entry, defined, changed = str(row["entry"]), int(row["defined"]), int(row["changed"])
        known = self._records.get(entry)
        if known is not None and known.changed >= changed:
            return
        if "body" in row:
            body = row["body"] or ""
            definition = definition_from_dict(_unpacked(body)) if body else None
        elif known is not None and known.defined == defined:
            definition = known.definition
        else:
            return  # Came between the two queries; the next look has it.
        head = Head.from_text(row["head"]) if row["head"] else None
        self._records[entry] = Record(entry, defined, changed, definition, head)

    def _renew(self, at: float) -> None:
        self._snapshot = Snapshot(dict(self._records))
        self._read_at = at

    def _row(self, record: Record) -> tuple[Any, ...]:
        body = "" if record.definition is None else _packed(record.definition.to_dict())
        head = "" if record.head is None else record.head.to_text()
        if max(len(body), len(head)) > LARGEST:
            raise DefinitionError(
                f"{record.entry} is too large for the catalogue of a Hopsworks project; use fewer features"
            )
        return (record.entry, record.defined, record.changed, head, body)


def tombstones(records: Iterable[Record], stamp: int) -> list[Record]:
    """The records of deleted definitions."""
    return [Record(record.entry, stamp, stamp, None) for record in records]


def _packed(content: Mapping[str, Any]) -> str:
    return base64.b64encode(zlib.compress(json.dumps(content, separators=(",", ":")).encode(), 6)).decode("ascii")


def _unpacked(text: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(zlib.decompress(base64.b64decode(text)))
    return content
