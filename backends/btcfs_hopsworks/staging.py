"""The rows of one write, gathered and set against what is stored: what is new, what changed, and what is newest then."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import attrs
import numpy as np
import pandas as pd

from btcfs import frames
from btcfs.definitions import FeatureGroup
from btcfs.errors import SchemaError
from btcfs_hopsworks import columns

Integers = np.ndarray[Any, np.dtype[np.int64]]
Mask = np.ndarray[Any, np.dtype[np.bool_]]
Spans = Mapping[str, tuple[int, int, int]]

MOST_SPANS = 300  # entities whose spans a head keeps; a record of the catalogue has to stay small


@attrs.frozen(eq=False)
class Staged:
    """Conformed rows with the digest of each row's entity, its time key and event time in microseconds."""

    frame: pd.DataFrame
    digests: Any
    times: Integers
    events: Integers

    def __len__(self) -> int:
        return len(self.frame)

    def take(self, mask: Mask) -> Staged:
        places = np.flatnonzero(mask)
        return Staged(
            self.frame.iloc[places].reset_index(drop=True),
            self.digests[places],
            self.times[places],
            self.events[places],
        )


def gathered(group: FeatureGroup, rows: pd.DataFrame | Iterable[pd.DataFrame]) -> Staged:
    """Every row given, in one frame. SchemaError as ``frames.conform`` says, or if two frames share a key."""
    parts = list(frames.chunks(group, rows))
    parts = [part for part in parts if len(part)] or [frames.empty(group)]
    frame = parts[0] if len(parts) == 1 else pd.concat(parts, ignore_index=True)
    staged = staged_of(group, frame)
    repeated = pd.MultiIndex.from_arrays([staged.digests, staged.times]).duplicated()
    if repeated.any():
        key = {name: frame[name].iloc[int(repeated.argmax())] for name in group.primary_key}
        raise SchemaError(f"{group.title}: the key {key} stands in two frames of one write")
    return staged


def staged_of(group: FeatureGroup, frame: pd.DataFrame) -> Staged:
    """Rows of a frame with the group's columns and types."""
    digests = np.array([columns.entity_digest(entity) for entity in columns.entities(group, frame)], dtype=object)
    return Staged(frame, digests, columns.time_keys(group, frame), frames.micros(frame[group.event_time]))


def may_overlap(spans: Spans | None, staged: Staged) -> bool:
    """Whether a key of these rows may be stored; False only if each is later than all of its entity."""
    if spans is None:
        return True
    last = np.array([spans[d][2] if d in spans else np.iinfo("int64").min for d in staged.digests], dtype="int64")
    return bool((staged.events <= last).any())


def compared(group: FeatureGroup, staged: Staged, stored: Staged) -> tuple[Mask, Mask]:
    """Which rows have a new key, and which a stored key with other content."""
    if not len(stored):
        return np.ones(len(staged), dtype=bool), np.zeros(len(staged), dtype=bool)
    known = pd.MultiIndex.from_arrays([stored.digests, stored.times])
    places = known.get_indexer(pd.MultiIndex.from_arrays([staged.digests, staged.times]))
    new = places < 0
    same = np.ones(len(staged), dtype=bool)
    for name in (group.event_time, *group.feature_names):
        same &= _same(group.dtypes[name], staged.frame[name], stored.frame[name].iloc[places])
    return new, ~new & ~same


def newest(staged: Staged) -> Staged:
    """The newest row of each entity: of the greatest event time, and of the greatest time key among equals."""
    codes, _ = pd.factorize(staged.digests)
    order = np.lexsort((staged.times, staged.events, codes))
    last = np.ones(len(order), dtype=bool)
    last[:-1] = codes[order[1:]] != codes[order[:-1]]
    mask = np.zeros(len(order), dtype=bool)
    mask[order[last]] = True
    return staged.take(mask)


def overlaid(stored: Staged, changed: Staged) -> Staged:
    """The stored rows with those that changed in their place."""
    if not len(stored):
        return changed
    taken = pd.MultiIndex.from_arrays([changed.digests, changed.times])
    kept = stored.take(~np.asarray(pd.MultiIndex.from_arrays([stored.digests, stored.times]).isin(taken)))
    return Staged(
        pd.concat([kept.frame, changed.frame], ignore_index=True) if len(kept) else changed.frame,
        np.concatenate([kept.digests, changed.digests]),
        np.concatenate([kept.times, changed.times]),
        np.concatenate([kept.events, changed.events]),
    )


def widened(spans: Spans | None, inserted: Staged) -> Spans | None:
    """The spans after these rows were inserted; None where they are not kept."""
    if spans is None:
        return None
    after = dict(spans)
    codes, distinct = pd.factorize(inserted.digests)
    for code, digest in enumerate(distinct):
        events = inserted.events[codes == code]
        rows, low, high = after.get(digest, (0, int(events.min()), int(events.max())))
        after[digest] = (rows + len(events), min(low, int(events.min())), max(high, int(events.max())))
        if len(after) > MOST_SPANS:
            return None
    return after


def digest_of(group: FeatureGroup, entity: Mapping[str, str]) -> str:
    """The digest of these entity values, which are all of them."""
    return columns.entity_digest(tuple(entity[name] for name in group.entity))


def _same(dtype: str, new: Any, old: Any) -> Mask:
    if dtype == "float64":
        one, two = np.asarray(new, dtype="float64"), np.asarray(old, dtype="float64")
        return np.asarray((one == two) | (np.isnan(one) & np.isnan(two)))
    if dtype == "timestamp":
        one, two = (np.asarray(column.dt.tz_localize(None).to_numpy()).view("int64") for column in (new, old))
        return np.asarray(one == two)
    if dtype == "string":
        return np.fromiter((a == b for a, b in zip(new, old, strict=True)), dtype=bool, count=len(new))
    return np.asarray(np.asarray(new) == np.asarray(old))
