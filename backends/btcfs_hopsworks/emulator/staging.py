"""Rows from Kafka that wait for the materialisation job of their group."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import attrs
import pyarrow as pa

from btcfs_hopsworks.emulator.avro import complex_readers, rows_reader
from btcfs_hopsworks.emulator.hive import to_arrow
from btcfs_hopsworks.emulator.metadata import Group
from btcfs_hopsworks.emulator.records import Record

_PART = 10_000


@attrs.define
class Staging:
    """Rows that wait for the materialisation job of their group; any thread may use it."""

    _values: dict[int, list[bytes]] = attrs.field(factory=dict, init=False, repr=False)
    _tables: dict[int, pa.Table] = attrs.field(factory=dict, init=False, repr=False)
    """Rows that were decoded already: with an older schema, or for a run that failed."""
    _lock: threading.Lock = attrs.field(factory=threading.Lock, init=False, repr=False)

    def add(self, records: Sequence[Record]) -> None:
        """Keeps the records that go offline."""
        with self._lock:
            for record in records:
                if record.goes_offline:
                    self._values.setdefault(record.group_id, []).append(record.value)

    def take(self, group: Group) -> pa.Table:
        """The rows of a group in the order they arrived, which are then no longer here.

        ValueError if one of them cannot be read; then all of them stay.
        """
        with self._lock:
            values, earlier = self._values.pop(group.id, []), self._tables.pop(group.id, None)
        try:
            # Outside the lock: the reader of all topics would wait for it.
            rows = decoded(group, values)
        except BaseException:  # whatever stopped it, the rows wait for the next job
            with self._lock:
                self._values[group.id] = values + self._values.get(group.id, [])
                if earlier is not None:
                    self._tables[group.id] = earlier
            raise
        return rows if earlier is None else pa.concat_tables([earlier, rows], promote_options="default")

    def put_back(self, group: Group, rows: pa.Table) -> None:
        """Returns rows that could not be written, before any that came since."""
        with self._lock:
            since = self._tables.get(group.id)
            self._tables[group.id] = (
                rows if since is None else pa.concat_tables([rows, since], promote_options="default")
            )

    def forget(self, group: Group) -> None:
        """Leaves out the rows of a group that wait."""
        with self._lock:
            self._values.pop(group.id, None)
            self._tables.pop(group.id, None)


def decoded(group: Group, values: Sequence[bytes]) -> pa.Table:
    """Rows of messages as a table with the columns of the group; instants are UTC without a zone."""
    read, readers = rows_reader(group), complex_readers(group)
    # In parts, as that many dictionaries at once would keep the garbage collector busy.
    parts = [_table(group, read(values[start : start + _PART]), readers) for start in range(0, len(values), _PART)]
    return pa.concat_tables(parts) if parts else _table(group, [], readers)


def _table(group: Group, rows: Sequence[Mapping[str, Any]], readers: Mapping[str, Callable[[bytes], Any]]) -> pa.Table:
    columns = []
    for feature in group.features:
        column = [row.get(feature.name) for row in rows]
        if feature.name in readers:
            column = [None if value is None else readers[feature.name](value) for value in column]
        columns.append(_array(column, to_arrow(feature.type)))
    return pa.table(columns, names=[feature.name for feature in group.features])


def _array(values: list[Any], kind: pa.DataType) -> pa.Array:
    if pa.types.is_timestamp(kind):
        return pa.array(values, pa.int64()).cast(kind)
    if pa.types.is_date32(kind):
        return pa.array(values, pa.int32()).cast(kind)
    return pa.array(values, kind)
