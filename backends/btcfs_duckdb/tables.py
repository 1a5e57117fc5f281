"""The online rows of one group: in a table, in segments, and the few that are kept in memory until the next commit."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping

import attrs

from btcfs.definitions import FeatureGroup
from btcfs.errors import StoreUnavailable
from btcfs.instants import from_micros
from btcfs_duckdb import online
from btcfs_duckdb.bulk import Bulk
from btcfs_duckdb.payload import whole

EVER = 2**63 - 1
Found = tuple[int, int, bytes]  # time, event time, bytes

# An entity's table rows are kept if there are no more than this, once it was asked for so often since its last commit.
MOST_KEPT = 512
_OFTEN = 4
# Of all entities together, some 20 MB of rows.
_MOST_ROWS = 32_768
_MOST_ENTITIES = 4_096


@attrs.define(eq=False)
class Tail:
    """The rows of an entity that lie in the table. They hold while the commit counter shows ``count``, and after that if
    the last change of the group is still ``changed``."""

    count: int
    changed: int
    asked: int = 0
    settled: bool = False  # the rows are kept, or there are too many of them
    rows: dict[int, Found] | None = None
    oldest: int = EVER  # their first time
    newest: Found | None = None


@attrs.frozen(eq=False)
class Table:
    """The rows of one group. A row in the table goes before one of the same key in a segment."""

    group: FeatureGroup
    exact: str
    newest: str
    all: str
    among: str
    between: str
    several: str
    step: int
    bulks: Mapping[str, Bulk]
    tails: dict[str, Tail] = attrs.field(factory=dict)

    def at(self, connection: sqlite3.Connection, entity: str, time: int) -> Found | None:
        """The row with this entity and time key."""
        found: Found | None = connection.execute(self.exact, (entity, time)).fetchone()
        return self._in_bulk(entity, time) if found is None else self._checked(found)

    def known(self, connection: sqlite3.Connection, entity: str, event_time: int) -> Found | None:
        """The newest row of this entity whose event time is not after this one."""
        time = event_time - self.step
        found: Found | None = connection.execute(self.newest, (entity, time)).fetchone()
        return self._checked(self._newer(found, entity, time))

    def kept(self, entity: str, count: int) -> Tail | None:
        """The table rows of this entity, if they are in memory and hold at this number of the commit counter."""
        tail = self.tails.get(entity)
        return tail if tail is not None and tail.count == count and tail.rows is not None else None

    def kept_at(self, tail: Tail, entity: str, time: int) -> Found | None:
        """What ``at`` finds, from the rows in memory."""
        assert tail.rows is not None
        found = tail.rows.get(time)
        return self._in_bulk(entity, time) if found is None else found

    def kept_newest(self, tail: Tail, entity: str) -> Found | None:
        """What ``known`` finds without a bound, from the rows in memory."""
        newer = self._newer(tail.newest, entity, EVER)
        return newer if newer is tail.newest else self._checked(newer)

    def asked(self, connection: sqlite3.Connection, entity: str, count: int) -> None:
        """Note that this entity was read at an even number of the commit counter, and keep its rows if that is often."""
        tail = self.tails.get(entity)
        if tail is None or tail.count != count:
            [changed] = online.last_changes(connection, [self.group.ref])
            if tail is not None and tail.changed == changed:
                tail.count = count
                return
            if len(self.tails) >= _MOST_ENTITIES:
                self.tails.clear()
            self.tails[entity] = Tail(count, changed)
            return
        tail.asked += 1
        if tail.asked >= _OFTEN and not tail.settled:
            tail.settled = True
            self._keep(connection, entity, tail)

    def _keep(self, connection: sqlite3.Connection, entity: str, tail: Tail) -> None:
        kept = sum(len(other.rows or ()) for other in self.tails.copy().values())
        most = max(0, min(MOST_KEPT, _MOST_ROWS - kept))
        rows: list[Found] = connection.execute(self.all, (entity, most + 1)).fetchall()
        if len(rows) <= most and all(whole(row[2], row[0], row[1]) for row in rows):
            tail.newest = max(rows, key=lambda row: (row[1], row[0]), default=None)
            tail.oldest = min((row[0] for row in rows), default=EVER)
            tail.rows = {row[0]: row for row in rows}

    def _in_bulk(self, entity: str, time: int) -> Found | None:
        bulk = self.bulks.get(entity)
        segment = None if bulk is None else bulk.holding(time)
        if segment is None:
            return None
        row = segment.at(time, self.step)
        if row is not None:
            return time, time + self.step, row
        return self._checked((time, time + self.step, b"")) if segment.index(time) >= 0 else None

    def _newer(self, found: Found | None, entity: str, time: int) -> Found | None:
        """The row found in the table, or one of a segment that is newer and not after this time."""
        bulk = self.bulks.get(entity)
        segment = None if bulk is None else bulk.holding(time)
        if segment is None or (found is not None and segment.last <= found[0]):
            return found
        index = segment.newest(time)
        at = segment.time(index)
        return found if found is not None and found[0] >= at else (at, at + self.step, segment.row(index))

    def _checked(self, found: Found | None) -> Found | None:
        if found is None or whole(found[2], found[0], found[1]):
            return found
        raise StoreUnavailable(
            f"the online row of {self.group.title} with event time {from_micros(found[1])} is damaged on the disk. "
            f"Run btcfs store rebuild-online, which builds the online table anew from the offline tables"
        )
