"""Keeps a group's online rows in step with its offline ones, write by write."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pyarrow as pa

from btcfs.definitions import TIME_KEY, FeatureGroup
from btcfs_feast import states
from btcfs_feast.cells import NEWEST, Cell, Head, OnlineView, Put, key_of, pack
from btcfs_feast.naming import SEQ
from btcfs_feast.shelf import Asked, Shelf, schema

logger = logging.getLogger(__name__)

Entity = tuple[str, ...]

_ANY_AGE = -(2**63)


class Serving:
    """The online side of one group.

    Of its first write the ``window`` newest rows of each entity go online, and of later ones the newest that
    are inserted and all that are replaced, unless they are older than the oldest that is online. So whatever
    is online is current, and what is not is asked of the offline store. ``expired`` says of an event time whether
    the newest row of an entity is too old to be served.
    """

    def __init__(
        self,
        group: FeatureGroup,
        identity: str,
        shelf: Shelf,
        online: OnlineView,
        window: int,
        expired: Callable[[int], bool],
    ) -> None:
        self._group = group
        self._identity = identity
        self._shelf = shelf
        self._online = online
        self._window = window
        self._expired = expired
        self._head = Head()

    def behind(self, last: int) -> bool:
        """Whether a writer ended between the offline store, whose last write has this number, and the online one."""
        self._head = self._online.head()
        return self._head.seq < last

    def catch_up(self, last: int, at: int) -> None:
        """Bring online what is offline only; to be called in a writer's turn."""
        head = self._head = self._online.head()
        logger.warning(
            "%s: online rows are at write %d of %d; bringing them into step", self._group.title, head.seq, last
        )
        rows = states.newest(self._group, self._shelf.states(Asked(self._group.columns)))
        fresh = rows.filter(pa.compute.greater(rows.column(SEQ), head.seq))
        chosen = self._young(fresh) if head.seq else fresh.take(pa.array(self._newest_places(fresh)))
        entities = set(self._entities(fresh))
        top = rows.take(pa.array(self._newest_places(rows, 1)))
        puts = [*self._puts(chosen), *(put for put in self._puts(top, NEWEST) if put.entity in entities)]
        # If the head alone was lost, as by a Redis that drops keys for room, rows of any age may be left online.
        self._head = Head(last, head.oldest if head.seq else _ANY_AGE)
        self._online.put(puts, self._head, at)

    def waiting(self) -> Waiting:
        """The rows of a write that begins."""
        return Waiting(self)

    def publish(self, waiting: Waiting, seq: int, at: int, *, first: bool) -> None:
        """Put a write online that is offline already; ``first`` if the group had none before."""
        oldest = self._oldest(waiting.inserted()) if first else self._head.oldest
        self._online.put([*waiting.puts(), *self._newest(waiting, first)], Head(seq, oldest), at)

    def cells(self, rows: pa.Table) -> list[tuple[Entity, Cell]]:
        """The rows as they are served."""
        group = self._group
        names = [feature.name for feature in group.features if feature.numeric]
        values = np.empty((rows.num_rows, len(names)))
        for place, name in enumerate(names):
            values[:, place] = rows.column(name).to_numpy()
        events, opens = self._times(rows)
        cells = [Cell(int(e), int(o), v) for e, o, v in zip(events, opens, values, strict=True)]
        return list(zip(self._entities(rows), cells, strict=True))

    def _newest(self, waiting: Waiting, first: bool) -> list[Put]:
        """The newest row of each entity that the write touched, where it is another now."""
        tops = waiting.tops
        if not tops or not self._group.has_time_key:
            return []
        entities = list(tops)
        current = [None] * len(entities) if first else self._online.cells([(entity, NEWEST) for entity in entities])
        puts, unsure = [], []
        for entity, known in zip(entities, current, strict=True):
            top = tops[entity]
            if first or (known is not None and (top.event_time, top.opens) >= (known.event_time, known.opens)):
                puts.append(Put(entity, NEWEST, pack(self._identity, top)))
            elif known is None or (entity, known.opens) in waiting.replaced:
                unsure.append(entity)
        for entity in unsure:
            row = self.known(entity, None)
            if row is not None:
                puts.append(Put(entity, NEWEST, pack(self._identity, row)))
        return puts

    def known(self, entity: Entity, at: int | None) -> Cell | None:
        """The newest row of an entity by the offline store: of those known at an instant, or now and not expired."""
        group = self._group
        named = dict(zip(group.entity, entity, strict=True))
        end = at + 1 if at is not None and group.interval is not None else None
        rows = states.newest(group, self._shelf.states(Asked(group.columns, entity=named, end=end)))
        if at is not None:
            rows = rows.filter(pa.array(states.micros(rows.column(group.event_time)) <= at))
        places = self._newest_places(rows, 1)
        cell = self.cells(rows.take(pa.array(places)))[0][1] if len(places) else None
        return None if cell is not None and at is None and self._expired(cell.event_time) else cell

    def row(self, entity: Entity, opens: int) -> Cell | None:
        """The row of an entity and open time by the offline store."""
        group = self._group
        named = dict(zip(group.entity, entity, strict=True))
        asked = Asked(group.columns, entity=named, opens=(opens, opens + 1))
        rows = states.newest(group, self._shelf.states(asked))
        return self.cells(rows)[0][1] if rows.num_rows else None

    def _puts(self, rows: pa.Table, key: str | None = None) -> list[Put]:
        pairs = self.cells(rows)
        return [Put(e, key_of(self._opens(c)) if key is None else key, pack(self._identity, c)) for e, c in pairs]

    def _young(self, rows: pa.Table) -> pa.Table:
        """The rows that may be online, which all are before anything is."""
        if not self._head.seq or not self._group.has_time_key:
            return rows
        young = self._times(rows)[1] >= self._head.oldest
        return rows if young.all() else rows.filter(pa.array(young))

    def _oldest(self, rows: pa.Table) -> int:
        return int(self._times(rows)[1].min()) if rows.num_rows else 0

    def _opens(self, cell: Cell) -> int | None:
        return cell.opens if self._group.has_time_key else None

    def _entities(self, rows: pa.Table) -> list[Entity]:
        if not self._group.entity:
            return [()] * rows.num_rows
        return list(zip(*(rows.column(name).to_pylist() for name in self._group.entity), strict=True))

    def _times(self, rows: pa.Table) -> tuple[Any, Any]:
        events = states.micros(rows.column(self._group.event_time))
        return events, states.micros(rows.column(TIME_KEY)) if self._group.has_time_key else np.zeros_like(events)

    def _newest_places(self, rows: pa.Table, window: int | None = None) -> np.ndarray[Any, Any]:
        """Where the newest rows of each entity stand, the newest of all last."""
        count = rows.num_rows
        entity = np.zeros(count, dtype="int64")
        for name in self._group.entity:
            ranks, texts = states.codes(rows.column(name))
            _, entity = np.unique(entity * max(len(texts), 1) + ranks, return_inverse=True)
        order = np.lexsort((*self._times(rows)[::-1], entity))
        sorted_entity = entity[order]
        ends = np.searchsorted(sorted_entity, sorted_entity, side="right")
        return order[ends - np.arange(count) <= (self._window if window is None else window)]


class Waiting:
    """The rows of one write that go online once it is offline."""

    def __init__(self, serving: Serving) -> None:
        self._serving = serving
        self._updated: list[Put] = []
        self._inserted: list[pa.Table] = []
        self.tops: dict[Entity, Cell] = {}
        self.replaced: set[tuple[Entity, int]] = set()

    def add(self, changed: pa.Table, replacing: np.ndarray[Any, np.dtype[np.bool_]]) -> None:
        """Take rows in, of which some replace others."""
        serving = self._serving
        fresh = changed
        if replacing.any():
            replaced, fresh = changed.filter(pa.array(replacing)), changed.filter(pa.array(~replacing))
            self._updated += serving._puts(serving._young(replaced))
            self.replaced.update((entity, cell.opens) for entity, cell in serving.cells(replaced))
        for entity, cell in serving.cells(changed.take(pa.array(serving._newest_places(changed, 1)))):
            known = self.tops.get(entity)
            if known is None or (cell.event_time, cell.opens) >= (known.event_time, known.opens):
                self.tops[entity] = cell
        fresh = serving._young(fresh)
        if fresh.num_rows:
            self._inserted.append(fresh.take(pa.array(serving._newest_places(fresh))))
        if len(self._inserted) > 8:
            self._inserted = [self.inserted()]

    def puts(self) -> Iterable[Put]:
        rows = self._serving._puts(self.inserted()) if self._inserted else []
        return [*self._updated, *rows]

    def inserted(self) -> pa.Table:
        """Of the new rows, those that go online."""
        if not self._inserted:
            return schema(self._serving._group).empty_table()
        rows = pa.concat_tables(self._inserted)
        return rows.take(pa.array(self._serving._newest_places(rows)))
