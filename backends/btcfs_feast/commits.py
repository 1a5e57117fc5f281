"""One write: which rows are new, which replace, which are the same."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import attrs
import numpy as np
import pyarrow as pa

from btcfs.definitions import TIME_KEY, FeatureGroup
from btcfs.errors import SchemaError
from btcfs.instants import from_micros
from btcfs.keys import show_key
from btcfs.store import WriteReport
from btcfs_feast import states
from btcfs_feast.shelf import Asked, Draft, Entry, Shelf


@attrs.define
class Tally:
    """What one write has done so far, in rows; times in microseconds."""

    inserted: int = 0
    updated: int = 0
    unchanged: int = 0
    seen: list[int] = attrs.field(factory=list)
    changed: list[int] = attrs.field(factory=list)

    def entry(self, seq: int, commit_id: str, at: int) -> Entry:
        return Entry(seq, commit_id, at, self.inserted, self.updated, min(self.changed), max(self.changed))

    def report(self, group: FeatureGroup, entry: Entry | None) -> WriteReport:
        return WriteReport(
            *group.ref,
            inserted=self.inserted,
            updated=self.updated,
            unchanged=self.unchanged,
            commit_id=None if entry is None else entry.id,
            committed_at=None if entry is None else from_micros(entry.at),
            start=from_micros(min(self.seen)) if self.seen else None,
            end=from_micros(max(self.seen)) if self.seen else None,
        )


class Pending:
    """The rows of one write on their way into a draft."""

    def __init__(self, group: FeatureGroup, shelf: Shelf, draft: Draft, last_seq: int) -> None:
        self._group = group
        self._shelf = shelf
        self._draft = draft
        self._stored = last_seq > 0
        self._keys: list[tuple[int, int, pa.Table]] = []
        self.tally = Tally()

    def add(self, incoming: pa.Table) -> tuple[pa.Table, np.ndarray[Any, np.dtype[np.bool_]]]:
        """Put new and changed rows into the draft; gives those, and which of them replace a row.

        SchemaError for a key that an earlier frame of the stream held.
        """
        group, tally = self._group, self.tally
        if not incoming.num_rows:
            return incoming, np.zeros(0, dtype=bool)
        self._refuse_repeated(incoming)
        held = self._held(incoming)
        places = states.matches(group, incoming, held)
        known = places >= 0
        same = np.zeros(incoming.num_rows, dtype=bool)
        if known.any():
            same[known] = states.same_content(
                group, incoming.filter(pa.array(known)), held.take(pa.array(places[known]))
            )
        _note(tally.seen, states.micros(incoming.column(group.event_time)))
        changed = incoming.filter(pa.array(~same)) if same.any() else incoming
        tally.unchanged += int(same.sum())
        tally.updated += int((known & ~same).sum())
        tally.inserted += int((~known).sum())
        if changed.num_rows:
            _note(tally.changed, states.micros(changed.column(group.event_time)))
            self._draft.add(changed, known[~same])
        return changed, known[~same]

    def _held(self, incoming: pa.Table) -> pa.Table:
        """The rows there are now, among them those whose keys come in."""
        group = self._group
        asked = Asked(group.columns, opens=_opens(group, incoming))
        if group.step is not None and asked.opens is not None:
            step = group.step // timedelta(microseconds=1)
            asked = attrs.evolve(asked, start=asked.opens[0] + step, end=asked.opens[1] + step)
        if not self._stored:
            return incoming.slice(0, 0)
        return states.newest(group, self._shelf.states(asked))

    def _refuse_repeated(self, incoming: pa.Table) -> None:
        group = self._group
        low, high = _opens(group, incoming) or (0, 1)
        for first, last, keys in self._keys:
            if low < last and first < high:
                found = states.matches(group, incoming, keys)
                if (found >= 0).any():
                    raise _repeated(group, incoming, int((found >= 0).argmax()))
        self._keys.append((low, high, incoming.select(list(group.primary_key))))


def _opens(group: FeatureGroup, rows: pa.Table) -> tuple[int, int] | None:
    """The half-open range of the time keys."""
    if not group.has_time_key:
        return None
    times = states.micros(rows.column(TIME_KEY))
    return int(times.min()), int(times.max()) + 1


def _note(span: list[int], times: np.ndarray[Any, Any]) -> None:
    span[:] = [min([*span, int(times.min())]), max([*span, int(times.max())])]


def _repeated(group: FeatureGroup, rows: pa.Table, row: int) -> SchemaError:
    entity = tuple(rows.column(name)[row].as_py() for name in group.entity)
    time = int(states.micros(rows.column(TIME_KEY).slice(row, 1))[0]) if group.has_time_key else None
    key = ", ".join(f"{name}={value}" for name, value in show_key(group, entity, time).items())
    return SchemaError(f"{group.title}: the key {{{key}}} stands in two frames of one write; a write holds each once")
