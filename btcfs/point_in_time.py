"""The point-in-time join on plain arrays: what was known of each feature at each instant asked."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from btcfs import frames
from btcfs.catalogue import ResolvedView
from btcfs.definitions import FeatureGroup
from btcfs.errors import SchemaError
from btcfs.instants import from_micros, to_micros

Integers: TypeAlias = np.ndarray[Any, np.dtype[np.int64]]
Floats: TypeAlias = np.ndarray[Any, np.dtype[np.float64]]
Encoded: TypeAlias = tuple[Integers, list[Any]]
Read: TypeAlias = Callable[[FeatureGroup, tuple[str, ...], datetime], Any]

_LATEST = to_micros(datetime.max.replace(tzinfo=timezone.utc))
_WORTH_THREADS = 1_000_000  # cells; below it starting a thread costs more than it saves


def join(view: ResolvedView, spine: pd.DataFrame, rows: Read) -> pd.DataFrame:
    """``FeatureStore.get_historical_features`` for any backend that can read rows.

    ``rows(group, columns, end)`` gives the group's rows with ``event_time < end``, as a DataFrame or
    a pyarrow Table with at least these columns: the entity, the event time and the view's
    features of that group. Any order will do; of rows of one entity with one event time the last
    given counts, so give them by primary key. SchemaError as the protocol says.
    """
    times, entities = checked_spine(view, spine)
    block = np.empty((len(view.view.features), len(spine)), dtype="float64")
    for group, names, places in view.parts:
        if not names or not len(spine):
            continue
        columns = (*group.entity, group.event_time, *names)
        known = rows(group, columns, from_micros(min(int(times.max()) + 1, _LATEST)))
        asked = [entities[name] for name in group.entity]
        spine_codes, row_codes = _codes(asked, [_encoded(known, name) for name in group.entity], len(spine), len(known))
        positions = match(spine_codes, times, row_codes, _row_times(known, group))
        gather([_column(known, name) for name in names], positions, [block[place] for place in places])
    return _beside(spine, block, view.view.features)


def checked_spine(view: ResolvedView, spine: pd.DataFrame) -> tuple[Integers, dict[str, Encoded]]:
    """The spine's instants in microseconds, cut off and never rounded up, and its encoded entity columns.

    SchemaError for a column that is missing, repeated or named like a feature, and for a time or an
    entity that is missing, naive or of another type.
    """
    _check_columns(view, spine)
    return _spine_times(view, spine), {name: _texts(view, spine[name]) for name in view.leading.entity}


def match(spine_entities: Integers, spine_times: Integers, row_entities: Integers, row_times: Integers) -> Integers:
    """For each spine row the position of the newest row of its entity known then, -1 where there is none.

    Entities are codes from 0 (in the spine, -1 is an entity without rows); times are microseconds.
    A row is known from its time on, that instant included; of equal ones the last counts. Both
    sides may come in any order; rows sorted by entity and time need no sorting.
    """
    if len(row_times) == 0 or len(spine_times) == 0:
        return np.full(len(spine_times), -1, dtype="int64")
    row_keys, spine_keys = _merge_keys(spine_entities, spine_times, row_entities, row_times)
    order = None if _ascending(row_keys) else np.argsort(row_keys, kind="stable")
    found = _newest_at_or_before(row_keys if order is None else row_keys[order], spine_keys)
    positions = found if order is None else order[found]
    unknown = (found < 0) | (row_entities[positions] != spine_entities)
    positions[unknown] = -1
    return positions


def gather(columns: Sequence[Any], positions: Integers, out: Sequence[Floats]) -> None:
    """Fill each ``out`` with its column's values at the positions, as float64, NaN where the position is -1."""
    if len(columns) == 0:
        return
    unknown = np.flatnonzero(positions < 0)

    def fill(index: int) -> None:
        values = np.asarray(columns[index], dtype="float64")
        if len(values) == 0:
            out[index][:] = np.nan
            return
        # Clipping takes -1 to row 0, overwritten below; the default mode would go through a buffer.
        np.take(values, positions, out=out[index], mode="clip")
        out[index][unknown] = np.nan

    if len(positions) * len(columns) < _WORTH_THREADS:
        for index in range(len(columns)):
            fill(index)
        return
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1), thread_name_prefix="btcfs-gather") as pool:
        list(pool.map(fill, range(len(columns))))


def _merge_keys(
    spine_entities: Integers, spine_times: Integers, row_entities: Integers, row_times: Integers
) -> tuple[Integers, Integers]:
    """One number for entity and time together, ordered as the pair is, for both sides."""
    first, last = int(row_times.min()), int(row_times.max())
    entities = int(row_entities.max()) + 1
    if entities == 1 and not (spine_entities != 0).any():
        return row_times, spine_times
    if entities * (last - first + 2) < 2**62:
        step, row_ranks = last - first + 2, row_times - first + 1
        spine_ranks = np.clip(spine_times, first - 1, last) - first + 1
    else:
        instants = np.unique(row_times)
        step, row_ranks = len(instants) + 1, np.searchsorted(instants, row_times, side="right")
        spine_ranks = np.searchsorted(instants, spine_times, side="right")
    return row_entities * step + row_ranks, spine_entities * step + spine_ranks


def _ascending(values: Integers) -> bool:
    return bool((values[1:] >= values[:-1]).all())


def _newest_at_or_before(sorted_keys: Integers, asked: Integers) -> Integers:
    if _ascending(asked):
        return np.searchsorted(sorted_keys, asked, side="right") - 1
    # Sorting what is asked first is cheaper than a cache miss at each step of each search.
    order = np.argsort(asked)
    found = np.empty(len(asked), dtype="int64")
    found[order] = np.searchsorted(sorted_keys, asked[order], side="right") - 1
    return found


def _check_columns(view: ResolvedView, spine: pd.DataFrame) -> None:
    needed = (*view.leading.entity, view.leading.event_time)
    missing = [name for name in needed if name not in spine.columns]
    if missing:
        raise SchemaError(
            f"the spine for view {view.view.title} lacks {', '.join(missing)}; it needs {', '.join(needed)}"
        )
    clashing = [name for name in spine.columns if name in view.view.features]
    if clashing:
        raise SchemaError(
            f"the spine for view {view.view.title} has columns named like its features: {', '.join(clashing)}; rename them"
        )
    if not spine.columns.is_unique:
        repeated = sorted({str(name) for name in spine.columns[spine.columns.duplicated()]})
        raise SchemaError(f"the spine for view {view.view.title} has more than one column named {', '.join(repeated)}")


def _spine_times(view: ResolvedView, spine: pd.DataFrame) -> Integers:
    column = spine[view.leading.event_time]
    absent = column.isna().to_numpy()
    if absent.any():
        raise SchemaError(
            f"the spine for view {view.view.title} has no {column.name} in row {int(absent.argmax())}; "
            f"each row needs the instant it decides at"
        )
    return frames.micros(frames.zoned(column, f"the spine for view {view.view.title}"))


def _texts(view: ResolvedView, column: pd.Series) -> Encoded:
    """Codes into the distinct texts of an entity column of the spine."""
    codes, distinct = _factorized(column)
    wrong = next((value for value in distinct if not isinstance(value, str)), None)
    if wrong is not None or (codes < 0).any():
        found = repr(wrong) if wrong is not None else f"nothing in row {int((codes < 0).argmax())}"
        raise SchemaError(f"the spine for view {view.view.title} has {found} as {column.name}, expected text")
    return codes, distinct


def _codes(
    spine: Sequence[Encoded], rows: Sequence[Encoded], spine_length: int, row_length: int
) -> tuple[Integers, Integers]:
    """Entity codes of both sides by which equal entities have equal codes; -1 in the spine without a counterpart."""
    spine_codes, row_codes = np.zeros(spine_length, dtype="int64"), np.zeros(row_length, dtype="int64")
    for place, ((asked, texts), (codes, distinct)) in enumerate(zip(spine, rows, strict=True)):
        if not distinct:
            return np.full(spine_length, -1, dtype="int64"), row_codes
        counterpart = pd.Index(distinct, dtype=object).get_indexer(pd.Index(texts, dtype=object))[asked]
        if place == 0:
            spine_codes, row_codes = counterpart.astype("int64"), codes
            continue
        unknown = (spine_codes < 0) | (counterpart < 0)
        spine_codes = np.where(unknown, -1, spine_codes * len(distinct) + counterpart)
        # Dense again after each column, so that no product overflows; in order of appearance, so that
        # the codes of sorted rows ascend.
        row_codes, seen = pd.factorize(row_codes * len(distinct) + codes)
        spine_codes = pd.Index(seen).get_indexer(pd.Index(spine_codes))
    return np.asarray(spine_codes, dtype="int64"), np.asarray(row_codes, dtype="int64")


def _encoded(rows: Any, name: str) -> Encoded:
    """Codes into the distinct values of a column, in order of appearance."""
    if isinstance(rows, pd.DataFrame):
        return _factorized(rows[name])
    column = rows.column(name)
    if len(column) and _one_text(column):
        return np.zeros(len(column), dtype="int64"), [column[0].as_py()]
    column = column.dictionary_encode().unify_dictionaries()
    indices = [chunk.indices.to_numpy() for chunk in column.chunks]
    distinct = column.chunk(0).dictionary.to_pylist() if indices else []
    return np.concatenate(indices).astype("int64") if indices else np.zeros(0, dtype="int64"), distinct


def _factorized(column: pd.Series) -> Encoded:
    # One symbol all the way down is the usual case, and a comparison is cheaper than a hash table.
    if len(column) and isinstance(column.iloc[0], str) and column.iloc[-1] == column.iloc[0]:
        text = column.iloc[0]
        if (column == text).to_numpy(dtype=bool, na_value=False).all():
            return np.zeros(len(column), dtype="int64"), [text]
    codes, distinct = pd.factorize(column)
    return np.asarray(codes, dtype="int64"), list(distinct)


def _one_text(column: Any) -> bool:
    import pyarrow.compute as pc

    same = column[-1] == column[0] and column.null_count == 0 and not hasattr(column.type, "value_type")
    return bool(same and pc.all(pc.equal(column, column[0])).as_py())


def _column(rows: Any, name: str) -> Any:
    """A column of a DataFrame or of a pyarrow Table, as an array."""
    if isinstance(rows, pd.DataFrame):
        return rows[name].to_numpy()
    return rows.column(name).to_numpy()


def _row_times(rows: Any, group: FeatureGroup) -> Integers:
    if isinstance(rows, pd.DataFrame):
        return frames.micros(rows[group.event_time])
    return np.asarray(_column(rows, group.event_time).astype("M8[us]").view("int64"))


def _beside(spine: pd.DataFrame, block: Floats, features: tuple[str, ...]) -> pd.DataFrame:
    """The spine's columns, then the features, without another copy of the features."""
    joined = pd.DataFrame(block.T, columns=list(features), index=spine.index, copy=False)
    for place, name in enumerate(spine.columns):
        joined.insert(place, name, spine[name])
    return joined
