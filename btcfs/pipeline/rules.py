"""The rules that candles must keep, as data: a name, a severity, a sentence, and a mask over rows."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Literal

import attrs
import numpy as np

from btcfs.pipeline.spacing import off_grid

Mask = np.ndarray[Any, np.dtype[np.bool_]]
Floats = np.ndarray[Any, np.dtype[np.float64]]
Ints = np.ndarray[Any, np.dtype[np.int64]]
Severity = Literal["error", "warning"]

PRICES = ("open", "high", "low", "close")
NUMBERS = (*PRICES, "volume")
_ROUNDING = 5e-4  # of a price, for volumes that were rounded
_CENT = 0.01

_DAY, _HOUR = 86_400_000_000, 3_600_000_000
_MOVE_LIMITS = ((_DAY, 1.0), (_HOUR, 0.5), (0, 0.3))  # of the logarithm of the price


@attrs.frozen(eq=False)
class Batch:
    """Candles to judge: times in microseconds, float64 columns, and the row before them if there was one."""

    timestamp: Ints
    columns: Mapping[str, Floats]
    step: int
    now: int
    previous: Mapping[str, Any] | None = None

    def __len__(self) -> int:
        return len(self.timestamp)

    def __getitem__(self, column: str) -> Floats:
        return self.columns[column]

    def before(self, column: str) -> Floats:
        """The column one row earlier, NaN where there is no earlier row."""
        first = math.nan if self.previous is None else self.previous[column]
        return np.concatenate([np.array([first]), self.columns[column][:-1]])[: len(self)]

    def elapsed(self) -> Ints:
        """Microseconds since the row before; one step for the very first row."""
        first = self.timestamp[:1] - self.step if self.previous is None else [self.previous["timestamp"]]
        return np.diff(self.timestamp, prepend=np.asarray(first, dtype="int64")[: len(self)])


def _seen_in_sequence(batch: Batch) -> Mask:
    return np.zeros(len(batch), dtype=bool)


@attrs.frozen(eq=False)
class Rule:
    """One rule: ``broken`` gives True for each row that breaks it; ``detail`` is filled in from that row's values."""

    name: str
    severity: Severity
    description: str
    detail: str
    broken: Callable[[Batch], Mask] = _seen_in_sequence


def _not_finite(batch: Batch) -> Mask:
    bad = ~np.isfinite(batch["open"])
    for name in NUMBERS[1:]:
        bad |= ~np.isfinite(batch[name])
    return bad | np.isinf(batch["quote_volume"]) if "quote_volume" in batch.columns else bad


def _not_positive(batch: Batch) -> Mask:
    return np.asarray(np.minimum.reduce([batch[name] for name in PRICES]) <= 0)


def _inconsistent(batch: Batch) -> Mask:
    highest = np.maximum(np.maximum(batch["open"], batch["close"]), batch["low"])
    lowest = np.minimum(np.minimum(batch["open"], batch["close"]), batch["high"])
    return np.asarray((batch["high"] < highest) | (batch["low"] > lowest))


def _negative_volume(batch: Batch) -> Mask:
    bad = batch["volume"] < 0
    return bad | (batch["quote_volume"] < 0) if "quote_volume" in batch.columns else bad


def _off_grid(batch: Batch) -> Mask:
    return np.asarray(off_grid(batch.timestamp, batch.step))


def _forming(batch: Batch) -> Mask:
    return np.asarray((batch.timestamp + batch.step > batch.now) & (batch.timestamp < batch.now))


def _future(batch: Batch) -> Mask:
    return np.asarray(batch.timestamp >= batch.now)


def _no_volume(batch: Batch) -> Mask:
    return np.asarray(batch["volume"] == 0)


def _repeated(batch: Batch) -> Mask:
    same = batch["volume"] > 0
    for name in NUMBERS:
        same &= batch[name] == batch.before(name)
    return same


def move_limit(step: int) -> float:
    """The natural logarithm of the greatest plausible move of a price within one candle of so many microseconds."""
    return next(limit for longer, limit in _MOVE_LIMITS if step >= longer)


def _implausible_move(batch: Batch) -> Mask:
    """Moves beyond the limit of the interval, which grows with the root of the time since the row before."""
    limits = move_limit(batch.step) * np.sqrt(np.maximum(batch.elapsed() / batch.step, 1.0))
    before = batch.before("close")
    before = np.where(np.isnan(before), batch["open"], before)
    furthest = np.maximum(np.abs(np.log(batch["high"] / before)), np.abs(np.log(batch["low"] / before)))
    return np.asarray(furthest > limits)


def _incoherent_quote(batch: Batch) -> Mask:
    if "quote_volume" not in batch.columns:
        return np.zeros(len(batch), dtype=bool)
    base, quote = batch["volume"], batch["quote_volume"]
    known = ~np.isnan(quote)
    right, wrong = (_fits(batch.columns, b, q) for b, q in ((base, quote), (quote, base)))
    return np.asarray(known & ~right & ~wrong)


def swapped(columns: Mapping[str, Any]) -> Mask:
    """Rows whose base and quote volume stand in each other's column.

    The quote volume over the base volume is a price paid, so it lies between low and high. Rows
    for which it does not, but the inverse does, are swapped; without volume there is no telling.
    """
    base, quote = np.asarray(columns["volume"]), np.asarray(columns["quote_volume"])
    traded = (base > 0) & (quote > 0)
    return np.asarray(traded & ~_fits(columns, base, quote) & _fits(columns, quote, base))


def _fits(columns: Mapping[str, Any], base: Floats, quote: Floats) -> Mask:
    least = np.asarray(columns["low"]) * base * (1 - _ROUNDING) - _CENT
    most = np.asarray(columns["high"]) * base * (1 + _ROUNDING) + _CENT
    return np.asarray((quote >= least) & (quote <= most))


ROW_RULES = (
    Rule(
        "finite",
        "error",
        "prices and volume are finite numbers",
        "open {open}, high {high}, low {low}, close {close}, volume {volume}",
        _not_finite,
    ),
    Rule(
        "positive",
        "error",
        "prices are above 0",
        "open {open}, high {high}, low {low}, close {close}",
        _not_positive,
    ),
    Rule(
        "ohlc",
        "error",
        "high is at least, and low at most, open and close",
        "open {open}, high {high}, low {low}, close {close}",
        _inconsistent,
    ),
    Rule("volume", "error", "volume is at least 0", "volume {volume}", _negative_volume),
    Rule("grid", "error", "open times lie on the interval's grid", "not a multiple of the interval", _off_grid),
    Rule("forming", "error", "the candle has closed", "closes after now", _forming),
    Rule("future", "error", "the candle has opened", "opens after now", _future),
)
"""Rules that one row breaks by itself, and that cause it to be rejected."""

NEIGHBOUR_RULES = (
    Rule("zero_volume", "warning", "something was traded", "no volume at close {close}", _no_volume),
    Rule("repeated", "warning", "a candle differs from the one before", "the same prices and volume again", _repeated),
    Rule(
        "move",
        "warning",
        "the price moves by a plausible amount",
        "high {high}, low {low}, close {close}, far from the close before",
        _implausible_move,
    ),
    Rule(
        "quote_volume",
        "warning",
        "quote volume over volume is a price between low and high",
        "volume {volume}, quote volume {quote_volume}, low {low}, high {high}",
        _incoherent_quote,
    ),
)
"""Rules that accepted rows are seen in the light of; breaking one is only a warning."""

SWAPPED = Rule(
    "swapped_volume",
    "warning",
    "base and quote volume stand in their own columns",
    "volume {volume} and quote volume {quote_volume} at close {close}",
    lambda batch: swapped(batch.columns),
)
TIME = Rule("time", "error", "each row has an open time", "no time")
ORDER = Rule("order", "error", "open times never step back", "earlier than a row before it")
CONFLICT = Rule(
    "conflict", "error", "rows of one open time agree", "close {close}, volume {volume}; another row differs"
)
DUPLICATE = Rule("duplicate", "warning", "each open time stands there once", "the same row again")
GAP = Rule("gap", "warning", "no candle is missing between two others", "missing")
INTERVAL = Rule("interval", "error", "neighbouring candles are one interval apart", "another interval")
JUMP = Rule("volume_jump", "warning", "volume keeps its unit", "volume is {factor:.3g} times what it was")

RULES = (INTERVAL, TIME, ORDER, CONFLICT, *ROW_RULES, DUPLICATE, GAP, SWAPPED, JUMP, *NEIGHBOUR_RULES)
"""Every rule. Those that name no ``broken`` are about the sequence of rows, and the validator finds them itself."""
