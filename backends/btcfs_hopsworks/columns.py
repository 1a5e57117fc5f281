"""How a btcfs group lies in a Hopsworks feature group: which columns, what keys, and rows there and back."""

from __future__ import annotations

import hashlib
import json
import keyword
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd

from btcfs import frames
from btcfs.definitions import TIME_KEY, FeatureGroup
from btcfs.errors import DefinitionError
from btcfs_hopsworks.gateway.groups import Column

ROW = "btcfs_row"
"""The primary key, a text of ASCII: online stores may compare texts without case, and take no timestamps as keys."""
ENTITY = "btcfs_entity"
TIME = "btcfs_time"
EVENT = "btcfs_event"
WRITE = "btcfs_write"
COMMIT = "btcfs_commit"
COMMIT_ID = "btcfs_commit_id"

STAMPS = (ROW, ENTITY, TIME, EVENT, WRITE, COMMIT, COMMIT_ID)
SERVED = (ROW, TIME, EVENT, WRITE)
"""What each vector carries before its features."""

_HIVE = {"float64": "double", "int64": "bigint", "bool": "boolean", "string": "string", "timestamp": "timestamp"}
_ONLINE_FROM, _ONLINE_TO = 1_000_000, 2**31 * 1_000_000 - 1_000_000  # MySQL's TIMESTAMP, in microseconds
_STAMP_WORDS = {
    ROW: "btcfs: the key of this row",
    ENTITY: "btcfs: digest of the entity columns",
    TIME: "btcfs: the time key in microseconds since 1970 UTC",
    EVENT: "btcfs: the event time in microseconds since 1970 UTC",
    WRITE: "btcfs: which write made this row, ascending",
    COMMIT: "btcfs: when it was committed, in microseconds since 1970 UTC",
    COMMIT_ID: "btcfs: the commit's identity",
}


def name_of(name: str) -> str:
    """The column of a btcfs column; the client turns rows into named tuples, which lose Python's keywords."""
    return f"{name}_" if keyword.iskeyword(name) else name


def columns(group: FeatureGroup) -> list[Column]:
    """The columns of the Hopsworks feature group. DefinitionError if a name is taken by one of ours."""
    taken = [name for name in group.columns if name.startswith("btcfs_")]
    hopsworks = [name_of(name) for name in group.columns]
    taken += sorted({name for name in hopsworks if hopsworks.count(name) > 1})
    if taken:
        raise DefinitionError(
            f"{group.title}: the Hopsworks backend needs the column names {', '.join(taken)} itself; choose others"
        )
    words = {feature.name: feature.description or f"in {feature.unit}" for feature in group.features}
    mine = [
        Column(ROW, "string", "varchar(100)", description=_STAMP_WORDS[ROW]),
        Column(ENTITY, "string", "varchar(40)", description=_STAMP_WORDS[ENTITY]),
        *(Column(name, "bigint", "bigint", description=_STAMP_WORDS[name]) for name in (TIME, EVENT, WRITE, COMMIT)),
        Column(COMMIT_ID, "string", offline_only=True, description=_STAMP_WORDS[COMMIT_ID]),
    ]
    for name, dtype in group.dtypes.items():
        # Texts of any length and times of any century do not fit an online table; vectors have neither.
        offline = dtype in ("string", "timestamp") and name != group.event_time
        mine.append(Column(name_of(name), _HIVE[dtype], offline_only=offline, description=words.get(name, "")))
    return mine


@lru_cache(maxsize=4096)
def entity_digest(entity: tuple[str, ...]) -> str:
    """A short text that stands for the values of the entity columns, and for no others."""
    return hashlib.blake2b(json.dumps(entity).encode(), digest_size=16).hexdigest()


def row_key(digest: str, time: int | None) -> str:
    """The online key of the row of that time, or of the entity's newest one."""
    return f"{digest}.newest" if time is None else f"{digest}.{time}"


def entities(group: FeatureGroup, frame: pd.DataFrame) -> list[tuple[str, ...]]:
    """The entity values of each row."""
    if not group.entity:
        return [()] * len(frame)
    return list(zip(*(frame[name].tolist() for name in group.entity), strict=True))


def stamped(
    group: FeatureGroup, frame: pd.DataFrame, digests: Sequence[str], write: int, commit: int, commit_id: str
) -> pd.DataFrame:
    """Conformed rows as rows of the log: each under a key of its own, so that nothing is ever overwritten."""
    times = time_keys(group, frame)
    keys = [f"{digest}.{time}.{write}" for digest, time in zip(digests, times.tolist(), strict=True)]
    content: dict[str, Any] = {
        ROW: pd.Series(keys, dtype=object),
        ENTITY: pd.Series(list(digests), dtype=object),
        TIME: times,
        EVENT: frames.micros(frame[group.event_time]),
        WRITE: np.full(len(frame), write, dtype="int64"),
        COMMIT: np.full(len(frame), commit, dtype="int64"),
        COMMIT_ID: pd.Series([commit_id] * len(frame), dtype=object),
    }
    content.update({name_of(name): frame[name].array for name in group.columns})
    return pd.DataFrame(content)


def online(group: FeatureGroup, log: pd.DataFrame, keys: Sequence[str]) -> pd.DataFrame:
    """Rows of the log as rows of the online table, under these keys."""
    out = log.assign(**{ROW: pd.Series(list(keys), dtype=object, index=log.index)})
    for column in columns(group):
        if column.offline_only:
            out[column.name] = pd.Series([None] * len(out), dtype=object, index=out.index)
    event = name_of(group.event_time)
    fits = (out[EVENT] >= _ONLINE_FROM) & (out[EVENT] <= _ONLINE_TO)
    if not fits.all():
        out[event] = out[event].where(fits)
    return out


def time_keys(group: FeatureGroup, frame: pd.DataFrame) -> np.ndarray[Any, np.dtype[np.int64]]:
    """The time key of each row in microseconds, 0 for a group without one."""
    if not group.has_time_key:
        return np.zeros(len(frame), dtype="int64")
    return frames.micros(frame[TIME_KEY])


def needed(group: FeatureGroup, names: Iterable[str]) -> list[str]:
    """The Hopsworks columns that hold these btcfs columns; times come from the exact integers."""
    mapped = []
    for name in names:
        if name == TIME_KEY and group.has_time_key:
            mapped.append(TIME)
        elif name == group.event_time:
            mapped.append(EVENT)
        else:
            mapped.append(name_of(name))
    return mapped


def column(group: FeatureGroup, table: Any, name: str) -> Any:
    """A btcfs column out of a table of log rows, in the type that ``frames.conform`` gives it."""
    (source,) = needed(group, [name])
    dtype = group.dtypes[name]
    values = table.column(source)
    if dtype == "timestamp":
        return _times(values)
    if dtype == "string":
        return pd.Series(values.to_pylist(), dtype=object)
    array = values.to_numpy(zero_copy_only=False) if hasattr(values, "combine_chunks") else np.asarray(values)
    target = {"float64": "float64", "int64": "int64", "bool": "bool"}[dtype]
    return np.array(array, dtype=target, copy=True)


def _times(values: Any) -> pd.Series:
    import pyarrow as pa
    import pyarrow.compute as pc

    if not pa.types.is_int64(values.type):
        values = pc.cast(pc.cast(values, pa.timestamp("us")), pa.int64())
    missing = values.is_null().to_numpy(zero_copy_only=False)
    whole = pc.fill_null(values, 0).to_numpy(zero_copy_only=False).astype("int64")
    times = whole.view("M8[us]").copy()
    times[missing] = np.datetime64("NaT", "us")
    return pd.Series(times).dt.tz_localize("UTC")
