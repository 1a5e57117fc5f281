"""How much of a month's budget of calls and bytes is used, counted in one small file by all processes."""

from __future__ import annotations

import calendar
import json
import logging
import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import attrs

from btcfs import durable
from btcfs.errors import ConfigError, StoreBusy, StoreUnavailable
from btcfs.instants import UTC, now

GB = 1_000_000_000
WARN, HOLD = 0.80, 0.95
MOST_PENDING = 50  # calls held in memory before they are written to the file
FLUSH_SECONDS = 5.0
PATIENCE = 2.0
KEPT_MONTHS = 12

_log = logging.getLogger(__name__)


class QuotaExceeded(StoreUnavailable):
    """A call that can wait was held back, for the month's budget is nearly used up."""


@attrs.frozen
class Budget:
    """What a month may use. The defaults are those that the integration guide names for the free tier.

    No published source for these numbers was found, so set your own contract's. ``storage_gb`` is held against
    the bytes sent in the month, ``egress_gb`` against those received; a gigabyte is 10^9 bytes.
    """

    calls: int = attrs.field(default=50_000)
    storage_gb: float = 25.0
    egress_gb: float = 10.0

    def __attrs_post_init__(self) -> None:
        for name, value in attrs.asdict(self).items():
            if value <= 0:
                raise ConfigError(f"budget {name} is {value}, expected a number above 0")


@attrs.frozen
class Counts:
    """Calls, bytes sent and bytes received."""

    calls: int = 0
    sent: int = 0
    received: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(self.calls + other.calls, self.sent + other.sent, self.received + other.received)


@attrs.frozen
class Usage:
    """One month until now: what was counted, what it will be at the month's end at this pace, and the budget.

    ``share`` is the greatest part of the budget that any of the three uses, ``forecast_share`` the same at
    the month's end. ``unwritten`` calls are in this process's memory and not in the file yet.
    """

    month: str
    counts: Counts
    forecast: Counts
    budget: Budget
    unwritten: int = 0

    @property
    def share(self) -> float:
        return _share(self.counts, self.budget)

    @property
    def forecast_share(self) -> float:
        return _share(self.forecast, self.budget)

    def to_dict(self) -> dict[str, Any]:
        shares = {"share": self.share, "forecast_share": self.forecast_share}
        return {**attrs.asdict(self), **shares}


class QuotaMeter:
    """Counts what a process calls and sends; several processes share one file. Safe for threads.

    Counts are kept in memory and added to the file after ``MOST_PENDING`` calls or ``FLUSH_SECONDS``, and by
    ``flush``; so a process that is killed loses at most that many. A file that cannot be written never fails a
    call: it is logged, and the counts stay in memory until it can.
    """

    def __init__(self, path: str | Path, budget: Budget | None = None, *, clock: Callable[[], datetime] = now) -> None:
        self.path = Path(path)
        self.budget = Budget() if budget is None else budget
        self._clock = clock
        self._guard = threading.Lock()
        self._writing = threading.Lock()
        self._pending: dict[str, Counts] = {}
        self._known: dict[str, Counts] | None = None
        self._flushed = time.monotonic()
        self._warned: set[str] = set()
        self._failing = False

    def record(self, calls: int, sent: int = 0, received: int = 0) -> None:
        """So many calls were made, with so many bytes sent and received."""
        month = _month(self._clock())
        with self._guard:
            self._pending[month] = self._pending.get(month, Counts()) + Counts(calls, sent, received)
            waiting = sum(counts.calls for counts in self._pending.values())
            due = waiting >= MOST_PENDING or time.monotonic() - self._flushed >= FLUSH_SECONDS
        if due:
            self.flush()

    def check(self, essential: bool = True) -> None:
        """QuotaExceeded for a call that can wait, once 95 % of the month's budget are used."""
        if essential:
            return
        usage = self.usage()
        if usage.share >= HOLD:
            raise QuotaExceeded(
                f"{usage.share:.0%} of the budget for {usage.month} are used ({_described(usage)}), so calls that can "
                f"wait are held until {_next_month(self._clock()):%Y-%m-%d}; raise the budget if your contract allows more"
            )

    def usage(self) -> Usage:
        """This month's counts, this process's unwritten ones among them, and their forecast."""
        at = self._clock()
        month = _month(at)
        with self._guard:
            if self._known is None:
                self._known = self._read()
            waiting = self._pending.get(month, Counts())
            counts = self._known.get(month, Counts()) + waiting
        return Usage(month, counts, _forecast(counts, at), self.budget, waiting.calls)

    def flush(self) -> None:
        """Add what is in memory to the file, and warn once a month at 80 % of the budget."""
        with self._writing:
            with self._guard:
                taken, self._pending = self._pending, {}
                self._flushed = time.monotonic()
            try:
                known = self._added(taken)
            except (OSError, StoreBusy) as exc:
                with self._guard:
                    for month, counts in taken.items():
                        self._pending[month] = self._pending.get(month, Counts()) + counts
                if not self._failing:
                    _log.warning("calls are counted in memory only, for %s cannot be written: %s", self.path, exc)
                self._failing = True
                return
            with self._guard:
                self._known, self._failing = known, False
        self._warn()

    def close(self) -> None:
        """Write what is in memory."""
        if self._pending:
            self.flush()

    def _added(self, taken: dict[str, Counts]) -> dict[str, Counts]:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with durable.locked(self.path.with_name(f"{self.path.name}.lock"), PATIENCE):
            known = self._read()
            for month, counts in taken.items():
                known[month] = known.get(month, Counts()) + counts
            kept = dict(sorted(known.items())[-KEPT_MONTHS:])
            if taken:
                text = json.dumps({month: attrs.asdict(counts) for month, counts in kept.items()}, indent=1)
                durable.replace(self.path, text.encode())
        return kept

    def _read(self) -> dict[str, Counts]:
        try:
            content = json.loads(self.path.read_text(encoding="utf-8"))
            return {month: Counts(**counts) for month, counts in content.items()}
        except OSError:  # not there yet, or not to be had; whoever writes it says which
            return {}
        except (ValueError, TypeError, AttributeError) as exc:
            # A month's count is no reason to stop; but it is said, and the file is kept for whoever wants to see it.
            aside = self.path.with_name(f"{self.path.name}.broken")
            _log.warning("%s holds no counts (%s); it is kept as %s and counting begins anew", self.path, exc, aside)
            self.path.replace(aside)
            return {}

    def _warn(self) -> None:
        usage = self.usage()
        if usage.share >= WARN and usage.month not in self._warned:
            self._warned.add(usage.month)
            _log.warning(
                "%.0f %% of the budget for %s are used (%s); at this pace %.0f %% by its end",
                usage.share * 100,
                usage.month,
                _described(usage),
                usage.forecast_share * 100,
            )


def _share(counts: Counts, budget: Budget) -> float:
    return max(
        counts.calls / budget.calls,
        counts.sent / (budget.storage_gb * GB),
        counts.received / (budget.egress_gb * GB),
    )


def _forecast(counts: Counts, at: datetime) -> Counts:
    """The month's end at the pace so far; in the first hour of a month, at the pace of an hour."""
    start = datetime(at.year, at.month, 1, tzinfo=timezone.utc)
    whole = _next_month(at) - start
    passed = max(at - start, timedelta(hours=1))
    return Counts(*(max(n, round(n * (whole / passed))) for n in attrs.astuple(counts)))


def _next_month(at: datetime) -> datetime:
    at = at.astimezone(UTC)
    days = calendar.monthrange(at.year, at.month)[1]
    return datetime(at.year, at.month, 1, tzinfo=timezone.utc) + timedelta(days=days)


def _month(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m}"


def _described(usage: Usage) -> str:
    counts, budget = usage.counts, usage.budget
    return (
        f"{counts.calls:,} of {budget.calls:,} calls, {counts.sent / GB:.3g} of {budget.storage_gb:g} GB sent, "
        f"{counts.received / GB:.3g} of {budget.egress_gb:g} GB received"
    )
