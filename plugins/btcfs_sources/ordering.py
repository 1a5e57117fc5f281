"""Frames of a file put into time order, oldest first, without holding a large file in memory."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from itertools import chain

import numpy as np
import pandas as pd
import pyarrow as pa

from btcfs.errors import SchemaError
from btcfs.frames import micros
from btcfs.sources import SourceReport


def in_time_order(frames: Iterable[pd.DataFrame], report: SourceReport, name: str) -> Iterator[pd.DataFrame]:
    """The same rows, oldest first; ``report.reordered`` tells whether they came otherwise.

    A single frame may be in any order. Several must be oldest-first or newest-first throughout;
    newest-first ones wait in a temporary file until the oldest has been read. SchemaError if they
    are neither.
    """
    iterator = (frame for frame in frames if len(frame))
    first, second = next(iterator, None), next(iterator, None)
    if first is None:
        return
    if second is None:
        yield _sorted(first, report)
        return
    times = micros(first["timestamp"])
    everything = chain([first, second], iterator)
    if times[0] <= times[-1]:
        yield from _ascending(everything, name)
    else:
        report.reordered = True
        yield from _reversed(everything, name)


def _sorted(frame: pd.DataFrame, report: SourceReport) -> pd.DataFrame:
    times = micros(frame["timestamp"])
    steps = np.diff(times)
    if (steps >= 0).all():
        return frame
    report.reordered = True
    if (steps <= 0).all():
        return frame.iloc[::-1].reset_index(drop=True)
    report.notes.append("the file was in neither time order, and was sorted")
    return frame.iloc[np.argsort(times, kind="stable")].reset_index(drop=True)


def _ascending(frames: Iterable[pd.DataFrame], name: str) -> Iterator[pd.DataFrame]:
    before = None
    for frame in frames:
        times = micros(frame["timestamp"])
        if (np.diff(times) < 0).any() or (before is not None and times[0] < before):
            raise _unordered(frame, name)
        before = times[-1]
        yield frame


def _reversed(frames: Iterable[pd.DataFrame], name: str) -> Iterator[pd.DataFrame]:
    """The frames backwards, by way of an Arrow file that vanishes when it is closed."""
    with tempfile.TemporaryFile(prefix="btcfs-") as spool:
        before = None
        writer = None
        for frame in frames:
            times = micros(frame["timestamp"])
            if (np.diff(times) > 0).any() or (before is not None and times[0] > before):
                raise _unordered(frame, name)
            before = times[-1]
            batch = pa.RecordBatch.from_pandas(frame, preserve_index=False)
            writer = writer or pa.ipc.new_file(spool, batch.schema)
            writer.write_batch(batch)
        if writer is None:
            return
        writer.close()
        spool.flush()
        reader = pa.ipc.open_file(spool)
        for number in reversed(range(reader.num_record_batches)):
            yield reader.get_batch(number).to_pandas().iloc[::-1].reset_index(drop=True)


def _unordered(frame: pd.DataFrame, name: str) -> SchemaError:
    first, last = frame["timestamp"].iloc[0], frame["timestamp"].iloc[-1]
    return SchemaError(
        f"{name} is ordered neither oldest first nor newest first: the order breaks between {first} and {last}; "
        f"sort it by time"
    )
