"""How a feature group lies in DuckDB: its tables, and its rows as Arrow on the way in and out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from btcfs import frames
from btcfs.definitions import FeatureGroup

# Features that are texts: to try every compression at each commit takes DuckDB longer than all the rest of it.
_TEXT = " USING COMPRESSION zstd"
SQL_TYPES = {
    "float64": "DOUBLE",
    "int64": "BIGINT",
    "bool": "BOOLEAN",
    "string": "VARCHAR",
    "timestamp": "TIMESTAMPTZ",
}
ZONED = pa.timestamp("us", "UTC")


def quoted(name: str) -> str:
    return f'"{name}"'


def listed(names: Iterable[str], table: str = "") -> str:
    prefix = f"{table}." if table else ""
    return ", ".join(prefix + quoted(name) for name in names)


def instant(micros: int) -> str:
    """An SQL literal of a time; one that DuckDB folds, so that it skips row groups by it."""
    return f"make_timestamptz({int(micros)})"


def current(group: FeatureGroup) -> str:
    """The table of the newest row per key, with ``_seq``, the commit that wrote it."""
    return quoted(f"{group.name}_v{group.version}")


def superseded(group: FeatureGroup) -> str:
    """The table of rows that were replaced, with ``_seq`` and ``_seq_end``, the commit that replaced them."""
    return quoted(f"{group.name}_v{group.version}_superseded")


def create_tables(group: FeatureGroup) -> list[str]:
    # No PRIMARY KEY: its index makes wide tables slow to write and must be in memory; the writer keeps keys unique.
    texts = [feature.name for feature in group.features if feature.dtype == "string"]
    columns = ", ".join(
        f"{quoted(name)} {SQL_TYPES[dtype]}{_TEXT if name in texts else ''}" for name, dtype in group.dtypes.items()
    )
    return [
        f"CREATE TABLE {current(group)} ({columns}, _seq BIGINT)",
        f"CREATE TABLE {superseded(group)} ({columns}, _seq BIGINT, _seq_end BIGINT)",
    ]


def drop_tables(group: FeatureGroup) -> list[str]:
    return [f"DROP TABLE {current(group)}", f"DROP TABLE {superseded(group)}"]


def to_arrow(group: FeatureGroup, frame: pd.DataFrame, *, copy: bool = False) -> pa.Table:
    """A conformed frame as an Arrow table, NaN staying NaN; numbers share the frame's memory unless copied."""
    return pa.table({name: _arrow(dtype, frame[name], copy) for name, dtype in group.dtypes.items()})


def from_arrow(group: FeatureGroup, table: pa.Table, columns: Sequence[str]) -> pd.DataFrame:
    """These columns of an Arrow table in the types of ``frames.conform``, in memory of their own."""
    if table.num_rows == 0:
        return frames.empty(group)[list(columns)]
    return pd.DataFrame({name: _pandas(group.dtypes[name], table.column(name)) for name in columns}, copy=False)


def key_order(group: FeatureGroup, table: pa.Table) -> np.ndarray[Any, np.dtype[np.int64]] | None:
    """The positions that order the rows by primary key, None if they are in that order."""
    if table.num_rows < 2:
        return None
    keys = [_ranks(table.column(name)) for name in group.primary_key]
    return None if _ascending(keys) else np.lexsort(keys[::-1])


def numbers(column: Any) -> np.ndarray[Any, Any]:
    """A column of an Arrow table as an array; times as int64 microseconds, a missing one as the least int64."""
    if pa.types.is_timestamp(column.type):
        return np.asarray(column.cast(ZONED).to_numpy().astype("M8[us]").view("int64"))
    return np.asarray(column.to_numpy())


def _arrow(dtype: str, column: pd.Series, copy: bool) -> pa.Array:
    if dtype == "string":
        return pa.array(column.to_numpy(dtype=object), pa.string())
    if dtype != "timestamp":
        return pa.array(column.to_numpy(copy=copy))
    absent = column.isna().to_numpy()
    times = pa.array(
        frames.micros(column).copy() if copy else frames.micros(column),
        pa.int64(),
        mask=absent if absent.any() else None,
    )
    return times.view(ZONED)


def _pandas(dtype: str, column: Any) -> Any:
    if dtype == "timestamp":
        return frames.from_micros_array(numbers(column))
    if dtype == "string":
        # Equal texts become one Python object: a symbol that stands in a million rows is held once.
        encoded = column.combine_chunks().dictionary_encode()
        texts = np.array([*encoded.dictionary.to_pylist(), None], dtype=object)
        places = encoded.indices.fill_null(len(texts) - 1).to_numpy()
        return pd.Series(texts[places], dtype=object)
    values = np.asarray(column.to_numpy())
    return values if values.flags.writeable and values.base is None else values.copy()


def _ranks(column: Any) -> np.ndarray[Any, Any]:
    if not pa.types.is_string(column.type) and not pa.types.is_large_string(column.type):
        return numbers(column)
    encoded = column.combine_chunks().dictionary_encode()
    texts = encoded.dictionary.to_pylist()
    rank = np.empty(len(texts), dtype="int64")
    rank[sorted(range(len(texts)), key=texts.__getitem__)] = np.arange(len(texts))
    return np.asarray(rank[encoded.indices.to_numpy()])


def _ascending(keys: Sequence[np.ndarray[Any, Any]]) -> bool:
    undecided = np.ones(len(keys[0]) - 1, dtype=bool)
    for key in keys:
        if (undecided & (key[1:] < key[:-1])).any():
            return False
        undecided &= key[1:] == key[:-1]
    return True
