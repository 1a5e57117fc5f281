"""What validation found: findings by rule with their spans, and the report as text and JSON."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import attrs
import numpy as np

from btcfs.instants import UTC, from_micros, to_micros
from btcfs.pipeline.rules import Ints, Mask, Severity

SPANS_KEPT = 100
EXAMPLES_KEPT = 5
_EARLIEST, _LATEST = (to_micros(instant.replace(tzinfo=UTC)) for instant in (datetime.min, datetime.max))


@attrs.frozen
class Span:
    """A run of neighbouring candles: the first and the last open time, and how many rows."""

    first: datetime
    last: datetime
    rows: int

    def to_dict(self) -> dict[str, Any]:
        return {"first": self.first.isoformat(), "last": self.last.isoformat(), "rows": self.rows}

    def __str__(self) -> str:
        if self.first == self.last:
            return f"{_short(self.first)} ({self.rows})"
        return f"{_short(self.first)} to {_short(self.last)} ({self.rows})"


@attrs.frozen
class Finding:
    """One rule that rows broke: how many rows, in which runs (the first hundred), and a few of them in words."""

    rule: str
    severity: Severity
    description: str
    count: int
    spans: tuple[Span, ...]
    span_count: int
    examples: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        return {
            **attrs.asdict(self, recurse=False),
            "spans": [span.to_dict() for span in self.spans],
            "examples": list(self.examples),
        }

    def __str__(self) -> str:
        shown = ", ".join(str(span) for span in self.spans[:3])
        more = f" and {self.span_count - 3} more spans" if self.span_count > 3 else ""
        example = f"; {self.examples[0]}" if self.examples else ""
        return (
            f"{self.severity}: {self.rule}: {self.count} candles: {shown}{more}{example} (expected: {self.description})"
        )


@attrs.frozen
class ValidationReport:
    """The result of validating a stream of candles; counts are rows.

    ``accepted`` + ``rejected`` + ``dropped`` (identical duplicates) = ``rows``. ``repaired`` rows
    had their volumes put into the right columns. ``start`` and ``end`` are the first and last
    accepted open time.
    """

    interval: str
    rows: int
    accepted: int
    rejected: int
    dropped: int
    repaired: int
    start: datetime | None
    end: datetime | None
    findings: tuple[Finding, ...]

    @property
    def errors(self) -> tuple[Finding, ...]:
        return tuple(finding for finding in self.findings if finding.severity == "error")

    @property
    def warnings(self) -> tuple[Finding, ...]:
        return tuple(finding for finding in self.findings if finding.severity == "warning")

    @property
    def ok(self) -> bool:
        """Whether no rule of severity error was broken."""
        return not self.errors

    def finding(self, rule: str) -> Finding | None:
        """What was found for one rule, None if nothing."""
        return next((finding for finding in self.findings if finding.rule == rule), None)

    def to_dict(self) -> dict[str, Any]:
        return {
            **attrs.asdict(self, recurse=False),
            "start": None if self.start is None else self.start.isoformat(),
            "end": None if self.end is None else self.end.isoformat(),
            "ok": self.ok,
            "findings": [finding.to_dict() for finding in self.findings],
        }

    def text(self) -> str:
        """The report for a person, one line per rule broken."""
        span = "" if self.start is None or self.end is None else f" from {_short(self.start)} to {_short(self.end)}"
        head = (
            f"{self.rows} candles of {self.interval}: {self.accepted} accepted{span}, {self.rejected} rejected, "
            f"{self.dropped} duplicates dropped, {self.repaired} repaired"
        )
        return "\n".join([head, *(f"  {finding}" for finding in self.findings)])


class Tally:
    """The count, runs and examples of one rule, gathered batch by batch in memory that does not grow."""

    def __init__(self, rule: str, severity: Severity, description: str, step: int) -> None:
        self.rule, self.severity, self.description = rule, severity, description
        self.count = 0
        self.span_count = 0
        self.examples: list[str] = []
        self._step = step
        self._spans: list[list[int]] = []  # first, last, rows
        self._last: list[int] = [0, 0, 0]

    def see(self, times: Ints, mask: Mask) -> Ints:
        """Take in which of these rows, in order, break the rule; returns their positions."""
        found = np.flatnonzero(mask)
        if len(found):
            hits = times[found]
            breaks = np.flatnonzero(np.diff(hits) > self._step) + 1
            begins, ends = np.r_[0, breaks], np.r_[breaks, len(hits)]
            self.add_runs(hits[begins], hits[ends - 1], ends - begins)
        return found

    def add_runs(self, firsts: Ints, lasts: Ints, rows: Ints) -> None:
        """Take in runs of rows by their first and last open times, in order; the first may go on the run before."""
        if len(firsts) == 0:
            return
        self.count += int(rows.sum())
        runs = [firsts, lasts, rows]
        if self.span_count and firsts[0] <= self._last[1] + self._step:
            self._last[1], self._last[2] = int(lasts[0]), self._last[2] + int(rows[0])
            runs = [column[1:] for column in runs]
        fresh = len(runs[0])
        self.span_count += fresh
        room = SPANS_KEPT - len(self._spans)
        self._spans.extend(
            [int(first), int(last), int(n)] for first, last, n in zip(*(c[:room] for c in runs), strict=True)
        )
        if fresh:
            self._last = self._spans[-1] if fresh <= room else [int(column[-1]) for column in runs]

    def finding(self) -> Finding:
        spans = tuple(Span(nearest(first), nearest(last), rows) for first, last, rows in self._spans)
        return Finding(
            self.rule, self.severity, self.description, self.count, spans, self.span_count, tuple(self.examples)
        )


def nearest(micros: int) -> datetime:
    """The instant, or the nearest that a datetime can be: a broken row may claim any time, or none."""
    return from_micros(min(max(micros, _EARLIEST), _LATEST))


def refusal(report: ValidationReport) -> str:
    """The message of the error that a refused stream of candles raises."""
    lines = "\n".join(f"  {finding}" for finding in report.errors)
    way_out = "correct the source, or set the rejected rows aside with --quarantine"
    if report.finding("interval") is not None:
        way_out = "ask for the interval that the source has"
    return f"candles of {report.interval} are refused, {report.rejected} of {report.rows} rows:\n{lines}\n{way_out}"


def _short(instant: datetime) -> str:
    return instant.strftime("%Y-%m-%d") if instant.hour == instant.minute == 0 else instant.strftime("%Y-%m-%dT%H:%MZ")
