"""What the rows of a group need from an offline store: to be appended, and read with every state they had."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import attrs
import numpy as np
import pyarrow as pa

from btcfs.definitions import FeatureGroup
from btcfs_feast.naming import COMMIT, CREATED, SEQ

ARROW = {
    "float64": pa.float64(),
    "int64": pa.int64(),
    "bool": pa.bool_(),
    "string": pa.string(),
    "timestamp": pa.timestamp("us", "UTC"),
}

# Days since 1970, the rows of each, and the hashes of their columns.
DayHashes = tuple[Sequence[int], Sequence[int], Sequence[Sequence[int]]]


@attrs.frozen
class Entry:
    """One write as its offline store remembers it; times in microseconds, of the rows that it changed."""

    seq: int
    id: str
    at: int
    inserted: int
    updated: int
    start: int
    end: int

    @property
    def rows(self) -> int:
        return self.inserted + self.updated


@attrs.frozen
class Asked:
    """Which states of which rows: half-open ranges in microseconds, None for no bound.

    ``opens`` bounds the candle's open time; ``entity`` says the values of key columns; ``as_of`` is the
    last instant of knowledge; ``seqs`` the first and last number of the writes.
    """

    columns: tuple[str, ...]
    start: int | None = None
    end: int | None = None
    opens: tuple[int, int] | None = None
    entity: Mapping[str, str] = attrs.field(factory=dict)
    as_of: int | None = None
    seqs: tuple[int, int] | None = None


class Draft(Protocol):
    """A write that nobody sees yet."""

    def add(self, rows: pa.Table, replacing: np.ndarray[Any, np.dtype[np.bool_]]) -> None:
        """Take rows of the group's columns in, of which some take the place of others."""

    def publish(self, entry: Entry) -> None:
        """Make all the rows visible at once, as this write."""

    def discard(self) -> None:
        """Leave nothing behind; after ``publish`` it does nothing."""


class Shelf(Protocol):
    """Where the rows of one group lie."""

    def create(self) -> None:
        """Make an empty table, or leave the one that is there."""

    def drop(self) -> None:
        """Remove the table and all that is in it."""

    def source(self) -> Any:
        """The Feast DataSource by which any Feast client reads the rows."""

    def online_source(self) -> Any:
        """A Feast DataSource without rows for the online view, so that materializing it does nothing."""

    def entries(self) -> Sequence[Entry]:
        """Every write, the oldest first."""

    def states(self, asked: Asked) -> pa.Table:
        """The columns asked for and SEQ, of every state of every row asked for, those of an older write first."""

    def draft(self, seq: int, commit_id: str, at: int) -> Draft:
        """Begin a write."""


def schema(group: FeatureGroup) -> pa.Schema:
    """The columns of a group's table, those of btcfs last."""
    columns = [(name, ARROW[dtype]) for name, dtype in group.dtypes.items()]
    return pa.schema([*columns, (SEQ, pa.int64()), (COMMIT, pa.string()), (CREATED, ARROW["timestamp"])])


def to_arrow(group: FeatureGroup, frame: Any) -> pa.Table:
    """A conformed frame as a table of the group's columns."""
    # NaN is a value here, and stays one: a null would come back from some stores as None.
    arrays = [
        pa.array(frame[name].to_numpy()) if t == "float64" else pa.array(frame[name], type=ARROW[t], from_pandas=True)
        for name, t in group.dtypes.items()
    ]
    return pa.table(arrays, names=list(group.columns))


def signed(rows: pa.Table, seq: int, commit_id: str, at: int) -> pa.Table:
    """The rows with the columns that say which write they are of."""
    count = rows.num_rows
    rows = rows.append_column(SEQ, pa.repeat(pa.scalar(seq, pa.int64()), count))
    rows = rows.append_column(COMMIT, pa.repeat(pa.scalar(commit_id, pa.string()), count))
    return rows.append_column(CREATED, pa.repeat(pa.scalar(at, pa.int64()), count).cast(ARROW["timestamp"]))
