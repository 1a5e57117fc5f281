"""Validation of a stream of candles: what may be stored, what is refused, and why."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

import attrs
import numpy as np
import pandas as pd

from btcfs.definitions import parse_interval
from btcfs.errors import SchemaError
from btcfs.instants import from_micros, to_micros
from btcfs.instants import now as present
from btcfs.pipeline.findings import EXAMPLES_KEPT, Tally, ValidationReport, nearest, refusal
from btcfs.pipeline.rows import NO_TIME, QUOTE, Rows, joined, no_rows, read_rows
from btcfs.pipeline.rules import (
    CONFLICT,
    DUPLICATE,
    GAP,
    INTERVAL,
    JUMP,
    NEIGHBOUR_RULES,
    ORDER,
    ROW_RULES,
    RULES,
    SWAPPED,
    TIME,
    Batch,
    Mask,
    Rule,
    swapped,
)
from btcfs.pipeline.sequence import missing, repeats
from btcfs.pipeline.spacing import Spacing, off_grid
from btcfs.pipeline.volume import VolumeLevel

_MICROSECOND = timedelta(microseconds=1)


class CandlesRefused(SchemaError):
    """Candles broke a rule of severity error; ``report`` is the whole :class:`ValidationReport`."""

    def __init__(self, report: ValidationReport) -> None:
        self.report = report
        super().__init__(refusal(report))


@attrs.frozen(eq=False)
class Verdict:
    """Candles split in two: those accepted, and those rejected with a further text column ``reason``."""

    accepted: pd.DataFrame
    rejected: pd.DataFrame
    report: ValidationReport


class Validator:
    """Validates frames of candles in time order, in memory bounded by one frame.

    ``accepted(frames)`` is the whole of it: it gives the accepted rows and, at the end, raises
    :class:`CandlesRefused` if any rule of severity error was broken, so that a commit which is
    fed from it is whole or not at all. With ``quarantine``, rejected rows (with a column ``reason``)
    are handed to that function instead and the rest goes on; only candles of another or of mixed
    intervals are refused even then. ``report()`` tells what was found at any time.

    Accepted frames have ``timestamp`` and float64 ``open, high, low, close, volume``, and
    ``quote_volume`` if the first frame has it; other columns are left out. Of identical rows of one
    open time the first is kept; rows of one open time that disagree are all rejected. With
    ``repair_volume``, swapped base and quote volumes are put right. ``now`` decides which candles
    have closed (default: the present instant).
    """

    def __init__(
        self,
        interval: str,
        now: datetime | None = None,
        repair_volume: bool = False,
        quarantine: Callable[[pd.DataFrame], object] | None = None,
    ) -> None:
        self.interval = interval
        self.repair_volume = repair_volume
        self._quarantine = quarantine
        self._step = parse_interval(interval) // _MICROSECOND
        self._now = to_micros(present() if now is None else now)
        self._tallies: dict[str, Tally] = {}
        self._spacing = Spacing(self._step)
        self._level = VolumeLevel()
        self._quote: bool | None = None
        self._held: Rows | None = None  # the rows of the newest open time, which the next frame may contradict
        self._newest = NO_TIME
        self._on_grid: int | None = None  # the newest open time on the grid
        self._previous: dict[str, Any] | None = None  # the newest accepted row
        self._counts = {"rows": 0, "accepted": 0, "rejected": 0, "dropped": 0, "repaired": 0}
        self._span: tuple[int, int] | None = None

    def accepted(self, frames: Iterable[pd.DataFrame]) -> Iterator[pd.DataFrame]:
        """The accepted rows of all frames; raises CandlesRefused after the last one if there were errors."""
        for frame in frames:
            good = self.feed(frame)
            if len(good):
                yield good
        rest = self.flush()
        if len(rest):
            yield rest
        self.finish()

    def feed(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The accepted rows so far. The newest open time is held back until the next call, or ``flush``.

        SchemaError if the frame lacks a column, has naive times or text for numbers.
        """
        if self._quote is None:
            self._quote = QUOTE in frame.columns
        rows = read_rows(frame, self._quote)
        self._counts["rows"] += len(rows)
        rows = self._in_order(rows)
        if self._held is not None:
            rows, self._held = joined(self._held, rows), None
        if len(rows) == 0:
            return rows.frame()
        newest = rows.times == rows.times[-1]
        self._held = rows.where(newest)
        return self._judge(rows.where(~newest)).frame()

    def flush(self) -> pd.DataFrame:
        """The accepted rows among those held back; to be called after the last ``feed``."""
        held, self._held = self._held, None
        return self._judge(no_rows(bool(self._quote)) if held is None else held).frame()

    def finish(self) -> ValidationReport:
        """The report. CandlesRefused if there were errors and no quarantine, or if the interval is wrong."""
        if self._held is not None:
            raise RuntimeError("rows are still held back: keep what flush() returns, then call finish()")
        problem = self._spacing.problem()
        if problem is not None:
            tally = self._tally(INTERVAL)
            tally.count, tally.examples = self._counts["rows"], [problem]
        report = self.report()
        if problem is not None or (report.errors and self._quarantine is None):
            raise CandlesRefused(report)
        return report

    def report(self) -> ValidationReport:
        """What has been found so far."""
        start, end = (None, None) if self._span is None else map(from_micros, self._span)
        found = [self._tallies[rule.name].finding() for rule in RULES if rule.name in self._tallies]
        return ValidationReport(
            interval=self.interval,
            **self._counts,
            start=start,
            end=end,
            findings=tuple(sorted((f for f in found if f.count), key=lambda f: f.severity)),
        )

    def _in_order(self, rows: Rows) -> Rows:
        """The rows without those that have no time or step back in time."""
        timeless = rows.times == NO_TIME
        if timeless.any():
            self._reject(rows, {TIME: timeless})
            rows = rows.where(~timeless)
        if len(rows) == 0:
            return rows
        reached = np.maximum(np.maximum.accumulate(rows.times), self._newest)
        back = rows.times < reached
        self._newest = int(reached[-1])
        if back.any():
            self._reject(rows, {ORDER: back})
        return rows.where(~back)

    def _judge(self, rows: Rows) -> Rows:
        """The accepted ones among rows in order, of whose open times no further row will come."""
        if len(rows) == 0:
            return rows
        self._spacing.see(rows.times)
        self._see_gaps(rows)
        rows = self._each_time_once(rows)
        batch = Batch(rows.times, rows.columns, self._step, self._now)
        broken = {rule: mask for rule in ROW_RULES if (mask := rule.broken(batch)).any()}
        if broken:
            rows = rows.where(~self._reject(rows, broken))
        if len(rows) == 0:
            return rows
        return self._accept(rows)

    def _each_time_once(self, rows: Rows) -> Rows:
        duplicate, conflict = repeats(rows)
        if duplicate.any():
            self._counts["dropped"] += int(duplicate.sum())
            self._see(DUPLICATE, rows, duplicate)
        if conflict.any():
            self._reject(rows, {CONFLICT: conflict})
        return rows.where(~(duplicate | conflict))

    def _see_gaps(self, rows: Rows) -> None:
        times = rows.times[~off_grid(rows.times, self._step)]
        if len(times) == 0:
            return
        firsts, lasts, counts = missing(times, self._step, self._on_grid)
        self._on_grid = int(times[-1])
        if len(firsts):
            self._tally(GAP).add_runs(firsts, lasts, counts)

    def _accept(self, rows: Rows) -> Rows:
        """The rows, repaired if asked, after a look at what is odd about them."""
        if QUOTE in rows.columns:
            rows = self._own_columns(rows)
        else:
            for time, factor in self._level.jumps(rows.times, rows.columns["volume"]):
                self._tally(JUMP).add_runs(*np.array([[time], [time], [1]]))
                self._example(JUMP, time, {"factor": factor})
        batch = Batch(rows.times, rows.columns, self._step, self._now, self._previous)
        for rule in NEIGHBOUR_RULES:
            self._see(rule, rows, rule.broken(batch))
        self._previous = rows.row(-1)
        self._counts["accepted"] += len(rows)
        self._span = (int(rows.times[0]) if self._span is None else self._span[0], int(rows.times[-1]))
        return rows

    def _own_columns(self, rows: Rows) -> Rows:
        wrong = swapped(rows.columns)
        self._see(SWAPPED, rows, wrong)
        if not self.repair_volume or not wrong.any():
            return rows
        self._counts["repaired"] += int(wrong.sum())
        base, quote = rows.columns["volume"], rows.columns[QUOTE]
        return rows.replaced(volume=np.where(wrong, quote, base), quote_volume=np.where(wrong, base, quote))

    def _reject(self, rows: Rows, broken: Mapping[Rule, Mask]) -> Mask:
        """Count the rows that break any of the rules, hand them to the quarantine, and say which they are."""
        for rule, mask in broken.items():
            self._see(rule, rows, mask)
        rejected = np.logical_or.reduce(list(broken.values()))
        self._counts["rejected"] += int(rejected.sum())
        if self._quarantine is not None:
            reasons = [
                "; ".join(f"{rule.name}: {_told(rule, rows.row(at))}" for rule, mask in broken.items() if mask[at])
                for at in np.flatnonzero(rejected).tolist()
            ]
            self._quarantine(rows.where(rejected).frame().assign(reason=pd.Series(reasons, dtype=object)))
        return np.asarray(rejected)

    def _see(self, rule: Rule, rows: Rows, mask: Mask) -> None:
        if not mask.any():
            return
        for at in self._tally(rule).see(rows.times, mask)[:EXAMPLES_KEPT].tolist():
            self._example(rule, int(rows.times[at]), rows.row(at))

    def _example(self, rule: Rule, time: int, values: Mapping[str, Any]) -> None:
        examples = self._tally(rule).examples
        if len(examples) < EXAMPLES_KEPT:
            examples.append(f"{nearest(time).isoformat()}: {_told(rule, values)}")

    def _tally(self, rule: Rule) -> Tally:
        return self._tallies.setdefault(rule.name, Tally(rule.name, rule.severity, rule.description, self._step))


def check(
    frames: pd.DataFrame | Iterable[pd.DataFrame], interval: str, now: datetime | None = None
) -> ValidationReport:
    """The report on a frame or a stream of frames of candles; broken rules do not raise, unreadable frames do."""
    validator = Validator(interval, now, quarantine=_forget)
    try:
        for _ in validator.accepted([frames] if isinstance(frames, pd.DataFrame) else frames):
            pass
    except CandlesRefused as refused:
        return refused.report
    return validator.report()


def judge(frame: pd.DataFrame, interval: str, now: datetime | None = None, repair_volume: bool = False) -> Verdict:
    """One frame split into accepted and rejected rows. CandlesRefused if its candles are of another interval."""
    rejected: list[pd.DataFrame] = [frame.iloc[:0].assign(reason=pd.Series([], dtype=object))]
    validator = Validator(interval, now, repair_volume, quarantine=rejected.append)
    accepted = list(validator.accepted([frame])) or [frame.iloc[:0]]
    refused = rejected[1:] or rejected
    return Verdict(pd.concat(accepted, ignore_index=True), pd.concat(refused, ignore_index=True), validator.report())


def _told(rule: Rule, values: Mapping[str, Any]) -> str:
    return rule.detail.format_map(values)


def _forget(_: pd.DataFrame) -> None:
    return None
