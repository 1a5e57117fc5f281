"""A group's rows as Parquet files that btcfs writes and every file-backed offline store of Feast reads."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import reduce
from operator import and_
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from btcfs import durable
from btcfs.definitions import TIME_KEY, FeatureGroup
from btcfs.errors import StoreUnavailable
from btcfs_feast import states
from btcfs_feast.naming import CREATED, KEY, PAYLOAD, SEQ, feast_name, online_name
from btcfs_feast.shelf import Asked, Entry, schema, signed

_ENTRIES = b"btcfs_entries"
_ROW_GROUP = 131_072
_INSTANT = pa.timestamp("us", "UTC")


@attrs.frozen
class Part:
    """A file with the rows of the writes numbered from ``first`` to ``last``; its content never changes."""

    path: Path
    first: int
    last: int


class PartFiles:
    """The ``Shelf`` of a group in a folder.

    Beside each Parquet file, which other Feast clients read, lies a plain copy, which needs no decoding and of
    which only the pages are read that are needed. A copy that is missing is made up for by the file.
    Feast's own append rewrites the whole file and is not atomic (feast-dev/feast#3298), so a write is a
    file of its own here, which a rename makes visible.
    """

    def __init__(self, folder: Path, group: FeatureGroup) -> None:
        self._folder = folder
        self._group = group
        self._known: dict[Path, tuple[Entry, ...]] = {}

    def create(self) -> None:
        with _translated(self._folder):
            (self._folder / "online").mkdir(parents=True, exist_ok=True)
            # Never without a file: to Feast a pattern that matches none is an error.
            _write_whole(self._path(0, 0), schema(self._group).empty_table())
            _write_whole(self._folder / "online" / "empty.parquet", self._online_schema().empty_table())

    def drop(self) -> None:
        with _translated(self._folder):
            shutil.rmtree(self._folder, ignore_errors=False)

    def source(self) -> Any:
        from feast import FileSource

        return FileSource(
            name=feast_name(self._group),
            path=str(self._folder / "*.parquet"),
            timestamp_field=self._group.event_time,
            created_timestamp_column=CREATED,
        )

    def online_source(self) -> Any:
        from feast import FileSource

        return FileSource(
            name=online_name(self._group),
            path=str(self._folder / "online" / "empty.parquet"),
            timestamp_field=self._group.event_time,
        )

    def entries(self) -> Sequence[Entry]:
        return [entry for part in self._parts() for entry in self._entries(part)]

    def states(self, asked: Asked) -> pa.Table:
        columns = list(dict.fromkeys((*asked.columns, SEQ)))
        while True:
            parts = [part for part in self._parts() if self._concerns(part, asked)]
            if not parts:
                return pa.schema([schema(self._group).field(name) for name in columns]).empty_table()
            try:
                with _translated(self._folder):
                    return pa.concat_tables([self._read(part, asked, columns) for part in parts])
            except FileNotFoundError:
                # Merged into another file between looking and reading; the next look finds that one.
                if not self._folder.exists():
                    raise StoreUnavailable(f"the rows of {self._group.title} are gone from {self._folder}") from None

    def draft(self, seq: int, commit_id: str, at: int) -> PartDraft:
        for left in self._folder.glob("*.draft"):
            left.unlink()  # of a writer that was killed, for there is one writer at a time
        for left in self._folder.glob("*.arrow"):
            if not left.with_suffix(".parquet").exists():
                left.unlink()
        return PartDraft(self._path(seq, seq), self._group, seq, commit_id, at)

    def _path(self, first: int, last: int) -> Path:
        return self._folder / f"{first:012d}-{last:012d}.parquet"

    def _parts(self) -> list[Part]:
        """The files in use, those of older writes first."""
        with _translated(self._folder):
            names = [entry.name for entry in os.scandir(self._folder) if entry.name.endswith(".parquet")]
        found = []
        for name in names:
            first, _, last = name.removesuffix(".parquet").partition("-")
            found.append(Part(self._folder / name, int(first), int(last)))
        used: list[Part] = []
        for part in sorted(found, key=lambda part: (part.first, -part.last)):
            # What lies within a merged file is about to be removed, or was left by a writer that was killed.
            if part.last and (not used or part.last > used[-1].last):
                used.append(part)
        return used

    def _entries(self, part: Part) -> tuple[Entry, ...]:
        if part.path not in self._known:
            with _translated(self._folder):
                stored = pq.read_metadata(part.path).metadata[_ENTRIES]
            self._known[part.path] = tuple(Entry(**entry) for entry in json.loads(stored))
        return self._known[part.path]

    def _concerns(self, part: Part, asked: Asked) -> bool:
        if asked.seqs is not None and (part.last < asked.seqs[0] or part.first > asked.seqs[1]):
            return False
        entries = self._entries(part)
        if asked.as_of is not None and min(entry.at for entry in entries) > asked.as_of:
            return False
        if asked.start is not None and max(entry.end for entry in entries) < asked.start:
            return False
        return asked.end is None or min(entry.start for entry in entries) < asked.end

    def _read(self, part: Part, asked: Asked, columns: list[str]) -> pa.Table:
        """The states in one file that were asked for: from its plain copy if there is one, without decoding."""
        condition = _condition(self._group, self._narrowed(part, asked))
        plain = _plain(part.path)
        if plain.exists():
            table = pa.ipc.open_file(pa.memory_map(str(plain))).read_all()
            return table.select(columns) if condition is None else table.filter(condition).select(columns)
        files = ds.dataset([str(part.path)], schema=schema(self._group), format="parquet")
        return files.to_table(columns=columns, filter=condition)

    def _narrowed(self, part: Part, asked: Asked) -> Asked:
        """What was asked without the bounds that all rows of this file lie in."""
        entries = self._entries(part)
        if asked.start is not None and min(entry.start for entry in entries) >= asked.start:
            asked = attrs.evolve(asked, start=None)
        if asked.end is not None and max(entry.end for entry in entries) < asked.end:
            asked = attrs.evolve(asked, end=None)
        if asked.as_of is not None and max(entry.at for entry in entries) <= asked.as_of:
            asked = attrs.evolve(asked, as_of=None)
        return asked

    def _online_schema(self) -> pa.Schema:
        texts = [(name, pa.string()) for name in (*self._group.entity, KEY)]
        return pa.schema([*texts, (PAYLOAD, pa.binary()), (self._group.event_time, _INSTANT)])


class PartDraft:
    """A part file that is being written under another name."""

    def __init__(self, path: Path, group: FeatureGroup, seq: int, commit_id: str, at: int) -> None:
        self._path = path
        self._group = group
        self._draft = path.with_suffix(".draft")
        self._signature = seq, commit_id, at
        texts = [name for name, dtype in group.dtypes.items() if dtype == "string"]
        # Measurements hardly compress, and what is not compressed is read three times as fast.
        packing = {n: "none" if group.dtypes.get(n) == "float64" else "snappy" for n in schema(group).names}
        with _translated(path.parent):
            self._writer = pq.ParquetWriter(self._draft, schema(group), use_dictionary=texts, compression=packing)
            self._copy = pa.ipc.new_file(f"{self._draft}.draft", schema(group))

    def add(self, rows: pa.Table, replacing: np.ndarray[Any, np.dtype[np.bool_]]) -> None:
        with _translated(self._path.parent):
            ordered = signed(states.by_key(self._group, rows), *self._signature).combine_chunks()
            self._writer.write_table(ordered, row_group_size=_ROW_GROUP)
            self._copy.write_table(ordered)

    def publish(self, entry: Entry) -> None:
        with _translated(self._path.parent):
            self._writer.add_key_value_metadata({_ENTRIES: json.dumps([attrs.asdict(entry)])})
            self._writer.close()
            self._copy.close()
            _sync(self._draft)
            _sync(Path(f"{self._draft}.draft"))
            os.replace(f"{self._draft}.draft", _plain(self._path))
            os.replace(self._draft, self._path)

    def discard(self) -> None:
        for file in (self._writer, self._copy):
            with suppress(OSError):  # closing writes, for which a full disk has no room; the file goes anyway
                file.close()
        self._draft.unlink(missing_ok=True)
        Path(f"{self._draft}.draft").unlink(missing_ok=True)


def _plain(path: Path) -> Path:
    """The copy of a part file that btcfs itself reads: the same rows as they lie in memory."""
    return path.with_suffix(".arrow")


def _condition(group: FeatureGroup, asked: Asked) -> Any:
    parts = [ds.field(name) == value for name, value in asked.entity.items()]
    if asked.start is not None:
        parts.append(ds.field(group.event_time) >= _scalar(asked.start))
    if asked.end is not None:
        parts.append(ds.field(group.event_time) < _scalar(asked.end))
    if asked.opens is not None and group.has_time_key:
        parts.append(ds.field(TIME_KEY) >= _scalar(asked.opens[0]))
        parts.append(ds.field(TIME_KEY) < _scalar(asked.opens[1]))
    if asked.as_of is not None:
        parts.append(ds.field(CREATED) <= _scalar(asked.as_of))
    if asked.seqs is not None:
        parts.append((ds.field(SEQ) >= asked.seqs[0]) & (ds.field(SEQ) <= asked.seqs[1]))
    return reduce(and_, parts) if parts else None


def _scalar(micros: int) -> Any:
    return pa.scalar(micros, _INSTANT)


def _write_whole(path: Path, table: pa.Table) -> None:
    if path.exists():
        return
    draft = path.with_suffix(".draft")
    pq.write_table(table, draft)
    os.replace(draft, path)


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        durable.sync(file)


@contextmanager
def _translated(folder: Path) -> Iterator[None]:
    """The system's errors as ours; a file that is gone is for the caller to judge."""
    try:
        yield
    except FileNotFoundError:
        raise
    except (OSError, pa.ArrowInvalid) as exc:
        raise StoreUnavailable(f"cannot use the part files in {folder}: {exc}") from exc
