"""Computing a plan's features: for a history, for a stream in bounded memory, for new candles; the same bits in each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np
import pandas as pd

from btcfs import frames
from btcfs.definitions import TIME_KEY, FeatureGroup
from btcfs.errors import DefinitionError, SchemaError
from btcfs.indicators import Indicator
from btcfs.instants import to_micros
from btcfs.pipeline.candles import CandleArrays
from btcfs.pipeline.plan import Node, Plan

if TYPE_CHECKING:
    Floats = np.ndarray[Any, np.dtype[np.float64]]
    Integers = np.ndarray[Any, np.dtype[np.int64]]

STREAM_ROWS = 65_536
# Segments need nothing of each other, and TA-Lib and numpy let go of the interpreter while they compute.
THREADS = 2
PARALLEL_SEGMENTS = 4


@attrs.frozen(eq=False)
class FeatureBlock:
    """Features of consecutive candles: open times in microseconds, and one contiguous array a feature.

    A value is NaN where history is too short for it.
    """

    timestamps: Integers
    names: tuple[str, ...]
    columns: tuple[Floats, ...]
    step: int

    def __len__(self) -> int:
        return len(self.timestamps)

    def frame(self, symbol: str, group: FeatureGroup) -> pd.DataFrame:
        """The rows as the group's columns; the feature arrays are shared, not copied.

        DefinitionError if the group is not keyed by symbol and timestamp or has features that were
        not computed.
        """
        if set(group.primary_key) != {"symbol", TIME_KEY}:
            raise DefinitionError(f"{group.title} is keyed by {group.primary_key}, expected symbol and {TIME_KEY}")
        features = dict(zip(self.names, self.columns, strict=True))
        absent = [name for name in group.feature_names if name not in features]
        if absent:
            raise DefinitionError(f"{group.title} has {', '.join(absent)}, which the plan does not compute")
        symbols = pd.Series(np.full(len(self), symbol, dtype=object), dtype=object)
        times = frames.from_micros_array(self.timestamps)
        keys = {name: times if name == TIME_KEY else symbols for name in group.primary_key}
        known = {group.event_time: frames.from_micros_array(self.timestamps + self.step)}
        return pd.DataFrame({**keys, **known, **{n: features[n] for n in group.feature_names}}, copy=False)


def compute(
    plan: Plan, candles: CandleArrays, start: datetime | None = None, end: datetime | None = None
) -> FeatureBlock:
    """The features of the candles with ``start <= open time < end``.

    Earlier candles serve as warm-up: those from ``plan.first_needed(start)`` on suffice, more
    change nothing. SchemaError if the candles are not of the plan's interval.
    """
    return compute_rows(plan, candles, *between(plan, candles, start, end))


def compute_stream(plan: Plan, candle_frames: Iterable[pd.DataFrame]) -> Iterator[FeatureBlock]:
    """The features of candles that come in frames of any size, in blocks of whole segments.

    Holds one frame, the warm-up and the unfinished segment, and gives blocks of at most 65,536 rows
    (one segment if that is more). SchemaError as ``CandleArrays.from_frame`` says, and if a frame
    does not continue the one before.
    """
    length = plan.segment * plan.step
    held: CandleArrays | None = None
    done = 0
    for frame in candle_frames:
        arrived = CandleArrays.from_frame(frame, plan.interval)
        held = arrived if held is None else held.followed_by(arrived)
        if not len(held):
            continue
        open_segment = int(held.timestamp[-1]) // length * length
        complete = int(np.searchsorted(held.timestamp, open_segment))
        yield from (compute_rows(plan, held, *rows) for rows in cuts(plan, held, done, complete))
        done = max(done, complete)
        keep = int(np.searchsorted(held.timestamp, open_segment - plan.warmup * plan.step))
        held, done = held.rows(keep, len(held)), done - keep
    if held is not None:
        yield from (compute_rows(plan, held, *rows) for rows in cuts(plan, held, done, len(held)))


def compute_new(plan: Plan, history: CandleArrays, new: CandleArrays) -> FeatureBlock:
    """The features of new candles that follow a history, of which only the last segment and warm-up are used.

    ``history`` from ``plan.first_needed`` of the first new candle on suffices. SchemaError if the
    new candles do not continue it.
    """
    _refuse_step(plan, new)
    if not len(new):
        return compute_rows(plan, new, 0, 0)
    recent = history.since(plan.first_needed_micros(int(new.timestamp[0])))
    together = recent.followed_by(new)
    return compute_rows(plan, together, len(recent), len(together))


def between(plan: Plan, candles: CandleArrays, start: datetime | None, end: datetime | None) -> tuple[int, int]:
    """The range of rows with ``start <= open time < end``. SchemaError if the candles are not of the plan's interval."""
    _refuse_step(plan, candles)
    first, last = (
        absent if time is None else int(np.searchsorted(candles.timestamp, to_micros(time)))
        for time, absent in ((start, 0), (end, len(candles)))
    )
    return first, max(first, last)


def evaluate(nodes: Sequence[Node], columns: Sequence[np.ndarray[Any, Any]]) -> Iterator[tuple[int, Floats]]:
    """Each column that the nodes fill, with its number, computed in one pass from the candle columns' first row.

    A column is let go once nobody needs it, so that the next one is computed in the memory that the
    processor still holds. DefinitionError if an indicator returns anything but float64 arrays of
    its input's length.
    """
    rows = len(columns[0])
    filled: dict[int, np.ndarray[Any, Any]] = dict(enumerate(columns))
    shared = {index for node in nodes for index in node.reads}
    for node in nodes:
        for index, output in zip(node.fills, _outputs(node, filled, rows), strict=True):
            if index in shared:
                output.flags.writeable = False
                filled[index] = output
            yield index, output


def _outputs(node: Node, filled: Mapping[int, np.ndarray[Any, Any]], rows: int) -> Sequence[Floats]:
    skip = node.skip
    if rows <= skip:
        return [np.full(rows, np.nan) for _ in node.fills]
    outputs = _checked(
        node.indicator, node.indicator.compute([filled[index][skip:] for index in node.reads]), rows - skip
    )
    if skip:
        outputs = tuple(np.concatenate((np.full(skip, np.nan), output)) for output in outputs)
    return outputs


def compute_rows(plan: Plan, candles: CandleArrays, first: int, last: int) -> FeatureBlock:
    """The features of rows ``first <= row < last``, computed from the candles before them that there are."""
    out = np.empty((len(plan.features), last - first))
    places = {column: out[row] for row, column in enumerate(plan.columns)}

    def fill(segment: tuple[int, int]) -> None:
        start, stop = segment
        since = int(np.searchsorted(candles.timestamp, plan.first_needed_micros(int(candles.timestamp[start]))))
        for column, values in evaluate(plan.nodes, [column[since:stop] for column in candles.columns]):
            if column in places:
                # Adding zero copies and turns -0.0 into 0.0, as a store does with what it is given.
                np.add(values[start - since :], 0.0, out=places[column][start - first : stop - first])

    segments = list(_segments(plan, candles.timestamp, first, last))
    if len(segments) < PARALLEL_SEGMENTS:
        for segment in segments:
            fill(segment)
    else:
        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(fill, segments))
    return FeatureBlock(candles.timestamp[first:last], plan.feature_names, tuple(out), candles.step)


def _segments(plan: Plan, timestamps: Integers, first: int, last: int) -> Iterator[tuple[int, int]]:
    """Row ranges that lie in one segment of time each."""
    length = plan.segment * plan.step
    while first < last:
        end = (int(timestamps[first]) // length + 1) * length
        stop = first + int(np.searchsorted(timestamps[first:last], end))
        yield first, stop
        first = stop


def cuts(
    plan: Plan, candles: CandleArrays, first: int, last: int, most: int = STREAM_ROWS
) -> Iterator[tuple[int, int]]:
    """The rows in ranges of whole segments, as many as fit into ``most``, at least one."""
    begin = first
    for start, stop in _segments(plan, candles.timestamp, first, last):
        if stop - begin > most and start > begin:
            yield begin, start
            begin = start
    if begin < last:
        yield begin, last


def _checked(indicator: Indicator, outputs: tuple[Any, ...], rows: int) -> tuple[Floats, ...]:
    if len(outputs) != len(indicator.outputs):
        raise DefinitionError(
            f"indicator {indicator.name!r} returned {len(outputs)} arrays, it declares {len(indicator.outputs)}"
        )
    for feature, output in zip(indicator.outputs, outputs, strict=True):
        if not isinstance(output, np.ndarray) or output.dtype != np.float64 or output.shape != (rows,):
            got = f"{output.dtype}{list(output.shape)}" if isinstance(output, np.ndarray) else type(output).__name__
            raise DefinitionError(
                f"indicator {indicator.name!r} returned {got} for {feature.name!r}; expected a float64 array of {rows} rows"
            )
    return outputs


def _refuse_step(plan: Plan, candles: CandleArrays) -> None:
    if candles.step != plan.step:
        raise SchemaError(
            f"the plan is for candles of {plan.interval} ({plan.step} µs), these are {candles.step} µs apart"
        )
