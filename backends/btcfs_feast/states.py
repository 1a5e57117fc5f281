"""Of every state that rows had: the newest of each key, in the order of the keys, as arrays and frames."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from btcfs import frames
from btcfs.definitions import TIME_KEY, FeatureGroup
from btcfs_feast.naming import SEQ

Integers = np.ndarray[Any, np.dtype[np.int64]]


def newest(group: FeatureGroup, states: pa.Table) -> pa.Table:
    """The last state of each key, of states in the order of their writes; needs the key columns."""
    if states.num_rows < 2 or _one_write(states):
        return states
    keys = pd.DataFrame(dict(enumerate(_ranks(states, group.primary_key))))
    superseded = keys.duplicated(keep="last").to_numpy()
    return states.filter(pa.array(~superseded)) if superseded.any() else states


def by_key(group: FeatureGroup, rows: pa.Table) -> pa.Table:
    """The rows in the order of their primary key."""
    ranks = _ranks(rows, group.primary_key)
    if rows.num_rows < 2 or _ascending(ranks):
        return rows
    return rows.take(pa.array(np.lexsort(ranks[::-1])))


def frame(group: FeatureGroup, rows: pa.Table, columns: Sequence[str]) -> pd.DataFrame:
    """Rows as a frame with the types of ``btcfs.frames.conform``."""
    return pd.DataFrame({name: _series(group.dtypes[name], rows.column(name)) for name in columns}, copy=False)


def micros(column: pa.ChunkedArray) -> Integers:
    """A timestamp column without nulls as microseconds."""
    return np.asarray(column.cast(pa.int64()).to_numpy())


def codes(column: pa.ChunkedArray) -> tuple[Integers, list[str]]:
    """Numbers that are ordered as the texts of the column are, by code point, and the texts."""
    encoded = column.combine_chunks().dictionary_encode()
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.combine_chunks()
    texts = encoded.dictionary.to_pylist()
    order = sorted(range(len(texts)), key=lambda place: texts[place])
    rank = np.empty(len(texts), dtype="int64")
    rank[order] = np.arange(len(texts))
    return rank[encoded.indices.to_numpy()], [texts[place] for place in order]


def matches(group: FeatureGroup, rows: pa.Table, among: pa.Table) -> Integers:
    """For each row the place of the row with its key among others, -1 where there is none."""
    if not among.num_rows:
        return np.full(rows.num_rows, -1, dtype="int64")
    names = list(group.primary_key)
    both = pa.concat_tables([among.select(names), rows.select(names)])
    keys = pd.MultiIndex.from_arrays(_ranks(both, names)) if len(names) > 1 else pd.Index(_ranks(both, names)[0])
    return np.asarray(keys[: among.num_rows].get_indexer(keys[among.num_rows :]), dtype="int64")


def same_content(group: FeatureGroup, one: pa.Table, other: pa.Table) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Row by row, whether event time and features have the same bits; all NaN are equal."""
    same = np.ones(one.num_rows, dtype=bool)
    for name in (group.event_time, *group.feature_names):
        same &= _same_bits(group.dtypes[name], one.column(name), other.column(name))
    return same


def _ranks(rows: pa.Table, names: Sequence[str]) -> list[Integers]:
    return [micros(rows.column(name)) if name == TIME_KEY else codes(rows.column(name))[0] for name in names]


def _ascending(ranks: Sequence[Integers]) -> bool:
    """Whether rows are in the order of these columns, the first counting most."""
    later = np.zeros(len(ranks[0]) - 1, dtype=bool)
    for column in ranks:
        step = np.diff(column)
        if (step[~later] < 0).any():
            return False
        later |= step > 0
    return True


def _one_write(states: pa.Table) -> bool:
    seqs = states.column(SEQ)
    return bool(pa.compute.min_max(seqs)["min"].equals(pa.compute.min_max(seqs)["max"]))


def _series(dtype: str, column: pa.ChunkedArray) -> pd.Series:
    if dtype == "timestamp":
        values = column.cast(pa.int64()).fill_null(np.iinfo("int64").min).to_numpy()
        return pd.Series(values.view("M8[us]")).dt.tz_localize("UTC")
    if dtype == "string":
        return pd.Series(column.to_pandas(types_mapper=None).to_numpy(dtype=object), dtype=object)
    values = column.to_numpy()  # of one chunk it is the chunk's own memory, which nobody may change
    return pd.Series(values if values.flags.writeable else values.copy(), copy=False)


def _same_bits(dtype: str, one: pa.ChunkedArray, other: pa.ChunkedArray) -> Any:
    if dtype == "float64":
        left, right = one.to_numpy(), other.to_numpy()
        return (left.view("int64") == right.view("int64")) | (np.isnan(left) & np.isnan(right))
    return _plain(dtype, one) == _plain(dtype, other)


def _plain(dtype: str, column: pa.ChunkedArray) -> np.ndarray[Any, Any]:
    if dtype == "timestamp":
        return np.asarray(column.cast(pa.int64()).fill_null(np.iinfo("int64").min).to_numpy())
    if dtype == "string":
        return np.array([*column.to_pylist(), ""], dtype=object)[:-1]
    return np.asarray(column.to_numpy())


def empty(group: FeatureGroup, columns: Sequence[str]) -> pd.DataFrame:
    """No rows, with these columns and their types."""
    return frames.empty(group)[list(columns)]
