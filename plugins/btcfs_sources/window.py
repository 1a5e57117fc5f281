"""The candles of a file that a request is for: the span asked, without what was still forming."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from datetime import datetime

import numpy as np
import pandas as pd

from btcfs.frames import micros
from btcfs.instants import now, to_micros
from btcfs.sources import CandleRequest, SourceReport


def wanted(
    frames: Iterable[pd.DataFrame],
    request: CandleRequest,
    report: SourceReport,
    complete_until: int | None,
    keep_newest: bool,
) -> Iterator[pd.DataFrame]:
    """The rows in the span asked whose candles have closed, each left-out row counted as forming or outside.

    A file does not say when it was downloaded, and downloads end in the middle of a candle, so the
    newest open time of all is taken to be forming, unless ``keep_newest``, or unless
    ``complete_until`` (microseconds) says until when candles are complete. Candles that open later
    than the present are no forming ones but errors in the file, and stay for the validator to refuse.
    """
    closed = _closed(frames, request, report, complete_until, keep_newest)
    chosen = closed if request.last is None else _newest(closed, request.last, report)
    for frame in chosen:
        if len(frame):
            report.returned += len(frame)
            yield frame


def _closed(
    frames: Iterable[pd.DataFrame],
    request: CandleRequest,
    report: SourceReport,
    complete_until: int | None,
    keep_newest: bool,
) -> Iterator[pd.DataFrame]:
    held: pd.DataFrame | None = None  # rows of the newest open time so far
    for frame in frames:
        rows = frame if held is None else pd.concat([held, frame], ignore_index=True)
        times = micros(rows["timestamp"])
        split = int(np.searchsorted(times, times[-1], side="left"))
        held = rows.iloc[split:]
        yield _in_span(rows.iloc[:split], request, report, complete_until)
    if held is None:
        return
    newest = _in_span(held, request, report, complete_until)
    opened = held["timestamp"].iloc[0]
    if len(newest) and complete_until is None and not keep_newest and opened <= _present(request):
        report.forming += len(newest)
        report.notes.append(
            f"the file's newest candle, {opened.isoformat()}, was left out as unfinished, because downloads end in the "
            f"middle of a candle; keep it with the option last=keep, or say complete_until=TIME (on the command line --source-option)"
        )
        return
    yield newest


def _in_span(
    rows: pd.DataFrame, request: CandleRequest, report: SourceReport, complete_until: int | None
) -> pd.DataFrame:
    assert request.now is not None  # settled
    times = micros(rows["timestamp"])
    outside = np.zeros(len(times), dtype=bool)
    if request.start is not None:
        outside |= times < to_micros(request.start)
    if request.end is not None:
        outside |= times >= to_micros(request.end)
    until = to_micros(request.now) if complete_until is None else min(to_micros(request.now), complete_until)
    forming = ~outside & (times + request.step_micros > until) & (times <= to_micros(_present(request)))
    report.outside += int(outside.sum())
    report.forming += int(forming.sum())
    left_out = outside | forming
    return rows[~left_out].reset_index(drop=True) if left_out.any() else rows.reset_index(drop=True)


def _present(request: CandleRequest) -> datetime:
    """The instant after which no candle can have opened, also where a request pretends an earlier one."""
    assert request.now is not None  # settled
    return max(request.now, now())


def _newest(frames: Iterable[pd.DataFrame], count: int, report: SourceReport) -> Iterator[pd.DataFrame]:
    """The rows of the newest so many open times; memory is theirs and one frame's."""
    kept: deque[tuple[pd.DataFrame, int]] = deque()  # and how many open times each frame has
    for frame in frames:
        if len(frame) == 0:
            continue
        kept.append((frame, frame["timestamp"].nunique()))
        while sum(times for _, times in kept) - kept[0][1] >= count:
            report.outside += len(kept.popleft()[0])
    surplus = sum(times for _, times in kept) - count
    for position, (frame, _) in enumerate(kept):
        if position == 0 and surplus > 0:
            first = frame["timestamp"].drop_duplicates().iloc[surplus]
            report.outside += int((frame["timestamp"] < first).sum())
            frame = frame[frame["timestamp"] >= first].reset_index(drop=True)
        yield frame
