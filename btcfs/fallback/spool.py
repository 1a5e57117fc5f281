"""Rows of one write in a file of their own, so that they can be written twice and outlive a crash."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from btcfs import durable, frames
from btcfs.definitions import FeatureGroup
from btcfs.errors import StoreUnavailable

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa


def spool(path: Path, group: FeatureGroup, rows: pd.DataFrame | Iterable[pd.DataFrame]) -> int:
    """Conform the frames and put them into the file, on the disk when this returns; the number of rows.

    Needs the memory of one frame. SchemaError as ``btcfs.frames.conform`` says, and whatever the stream raises.
    """
    import pyarrow as pa

    schema, count = _schema(group), 0
    with path.open("wb") as file:
        with pa.ipc.new_file(file, schema) as writer:
            for frame in frames.chunks(group, rows):
                writer.write_table(pa.Table.from_pandas(frame, schema, preserve_index=False))
                count += len(frame)
        durable.sync(file)
    return count


def spooled(path: Path) -> Iterator[pd.DataFrame]:
    """The frames of the file, one at a time. StoreUnavailable if it is gone or torn."""
    import pyarrow as pa

    try:
        with pa.OSFile(str(path)) as file, pa.ipc.open_file(file) as reader:
            for index in range(reader.num_record_batches):
                yield reader.get_batch(index).to_pandas()
    except (OSError, pa.ArrowException) as exc:
        raise StoreUnavailable(f"the journalled rows in {path} cannot be read: {exc}") from exc


def _schema(group: FeatureGroup) -> pa.Schema:
    import pyarrow as pa

    kinds = {
        "float64": pa.float64(),
        "int64": pa.int64(),
        "bool": pa.bool_(),
        "string": pa.large_string(),
        "timestamp": pa.timestamp("us", "UTC"),
    }
    return pa.schema([(name, kinds[dtype]) for name, dtype in group.dtypes.items()])
