"""What a group's rows are and were: questions to the shelf on which every state of them lies."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

import attrs
import pandas as pd
import pyarrow as pa

from btcfs import catalogue, frames, instants
from btcfs.definitions import FeatureGroup
from btcfs.store import Commit, Summary
from btcfs_feast import states
from btcfs_feast.shelf import Asked, DayHashes, Entry, Shelf


def newest(group: FeatureGroup, shelf: Shelf, asked: Asked) -> pa.Table:
    """The newest states asked for, with at least the columns asked for."""
    needed = tuple(dict.fromkeys((*asked.columns, *group.primary_key, group.event_time)))
    if group.interval is not None:
        return states.newest(group, shelf.states(attrs.evolve(asked, columns=needed)))
    # The event time of a key may have been another before, so the range is for its newest state.
    rows = states.newest(group, shelf.states(attrs.evolve(asked, columns=needed, start=None, end=None)))
    times = states.micros(rows.column(group.event_time))
    low = times if asked.start is None else asked.start
    high = times + 1 if asked.end is None else asked.end
    return rows.filter(pa.array((times >= low) & (times < high)))


def commits(entries: Sequence[Entry]) -> list[Commit]:
    """The commits of these writes, of which those under one name are one."""
    found: dict[str, Commit] = {}
    for entry in entries:
        before = found.get(entry.id)
        rows = entry.rows + ((before.rows or 0) if before is not None else 0)
        found[entry.id] = Commit(entry.id, instants.from_micros(entry.at), rows)
    return list(found.values())


def changes(
    group: FeatureGroup, shelf: Shelf, commit: Commit, start: datetime | None = None, end: datetime | None = None
) -> pd.DataFrame:
    """The rows that a commit changed, as it left them, ordered by key. NotFound if there is no such commit."""
    asked = _written(group, _writes(group, shelf, commit), start, end)
    rows = states.by_key(group, states.newest(group, shelf.states(asked)))
    return frames.between(group, states.frame(group, rows, group.columns), start, end)


def day_hashes(
    group: FeatureGroup, shelf: Shelf, commit: Commit | None, start: datetime | None, end: datetime | None
) -> DayHashes | None:
    """Days, rows and hashes of a commit's changes, or of the newest rows, if the shelf reckons them."""
    hashed: Callable[[Asked], DayHashes | None] | None = getattr(shelf, "day_hashes", None)
    if hashed is None or group.interval is None:  # without one an event time may be another than the newest
        return None
    if commit is None:
        return hashed(Asked(group.columns, instants.micros_of(start), instants.micros_of(end)))
    writes = _writes(group, shelf, commit)
    if any(entry.updated for entry in writes[1:]):
        return None  # one of them may have changed what another wrote, which would count as well
    return hashed(_written(group, writes, start, end))


def _writes(group: FeatureGroup, shelf: Shelf, commit: Commit) -> list[Entry]:
    """The writes of a commit. NotFound if there is no such commit."""
    entries = shelf.entries()
    found = catalogue.find_commit(group, commits(entries), commit)
    return [entry for entry in entries if entry.id == found.id]


def _written(group: FeatureGroup, writes: Sequence[Entry], start: datetime | None, end: datetime | None) -> Asked:
    """What to ask for the states that they wrote; those of other event times may be among them."""
    asked = Asked(group.columns, seqs=(writes[0].seq, writes[-1].seq))
    if group.interval is None:
        return asked
    # The event time of a key never changes, so that only what lies in the range need be read.
    low, high = min(entry.start for entry in writes), max(entry.end for entry in writes) + 1
    low = low if start is None else max(low, instants.to_micros(start))
    high = high if end is None else min(high, instants.to_micros(end))
    return attrs.evolve(asked, start=low, end=high)


def summary(group: FeatureGroup, shelf: Shelf, entity: Mapping[str, str]) -> Summary:
    """How many rows of these entities there are, and from when to when."""
    entries = shelf.entries()
    if entries and not entity and group.interval is not None:
        # With an interval the event time of a key never changes, so that the writes say it all.
        low, high = min(entry.start for entry in entries), max(entry.end for entry in entries)
        count = sum(entry.inserted for entry in entries)
    else:
        # Other people's tables have no entries, and are asked; ours without any are empty, and soon read.
        times = states.micros(newest(group, shelf, Asked((), entity=entity)).column(group.event_time))
        if not len(times):
            return Summary(0)
        low, high, count = int(times.min()), int(times.max()), len(times)
    return Summary(count, instants.from_micros(low), instants.from_micros(high))
