"""Calling an indicator on candles, changing the candles, and comparing what comes out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np

from btcfs.indicators import Indicator
from btcfs.pipeline.candles import CandleArrays
from btcfs.pipeline.compute import evaluate
from btcfs.pipeline.plan import arrange
from btcfs.testing.synthetic import Market

if TYPE_CHECKING:
    Floats = np.ndarray[Any, np.dtype[np.float64]]

OLDER = 150  # rows of history before those that may matter


class LawBroken(AssertionError):
    """An indicator breaks a law; ``law`` is its name."""

    def __init__(self, law: str, indicator: Indicator, problem: str) -> None:
        self.law = law
        super().__init__(f"{law}: indicator {indicator.name!r} {dict(indicator.params)} {problem}")


def require(law: str, indicator: Indicator, holds: bool, problem: str) -> None:
    """LawBroken unless it holds."""
    if not holds:
        raise LawBroken(law, indicator, problem)


def rows_that_matter(indicator: Indicator) -> int:
    """The rows on which a value may depend, its own included."""
    return indicator.lookback + indicator.unstable + 1


def values_of(law: str, indicator: Indicator, candles: CandleArrays) -> list[Floats]:
    """The outputs for these candles, computed in one pass. LawBroken, under that law's name, if that raises."""
    nodes, places = arrange([indicator])
    filled = dict(_guarded(law, indicator, lambda: list(evaluate(nodes, candles.columns))))
    return [filled[index] for index in places[indicator.identity]]


def own_inputs(indicator: Indicator, candles: CandleArrays) -> list[Any]:
    """The read-only arrays that the engine would pass to the indicator's function."""
    nodes, _ = arrange([indicator])
    filled = dict(enumerate(candles.columns)) | dict(evaluate(nodes[:-1], candles.columns))
    arrays = [filled[index][nodes[-1].skip :] for index in nodes[-1].reads]
    for array in arrays:
        array.flags.writeable = False
    return arrays


def called(law: str, indicator: Indicator, arrays: list[Any]) -> list[Floats]:
    """What the function itself returns for these inputs."""
    return list(_guarded(law, indicator, lambda: indicator.compute(arrays)))


def engine(indicator: Indicator, function: Callable[..., Any], *arguments: Any) -> Any:
    """What the engine's function returns. LawBroken if it raises."""
    return _guarded("chunks", indicator, lambda: function(*arguments))


def some_rows(market: Market, low: int, high: int) -> list[int]:
    """A few row numbers from ``low`` to ``high``, both among them."""
    rng = np.random.default_rng(market.seed)
    return sorted({low, high, *rng.integers(low, high, 2, endpoint=True).tolist()})


def scaled(candles: CandleArrays, price: float = 1.0, volume: float = 1.0) -> CandleArrays:
    """The candles with all prices and all volumes multiplied."""
    prices = {name: getattr(candles, name) * price for name in ("open", "high", "low", "close")}
    return attrs.evolve(candles, **prices, volume=candles.volume * volume)


def joined(earlier: CandleArrays, later: CandleArrays) -> CandleArrays:
    """The earlier candles and then the later ones."""
    return earlier.followed_by(later)


def other_histories(market: Market) -> dict[str, CandleArrays]:
    """``OLDER`` rows to stand in for the real ones, each with what has happened to them."""
    other = market.other()
    silent = attrs.evolve(other, flat=OLDER, flat_at=0.0, silent=OLDER, silent_at=0.0)
    fallen = attrs.evolve(other, jump=0.3, jump_at=0.95, tick=0.01, silent=30, silent_at=0.4)
    return {
        "was another market at 1.6 times the price": scaled(other.candles(OLDER), price=1.6),
        "had a thousand times the volume": scaled(other.candles(OLDER), volume=1000.0),
        "did not move or trade": silent.candles(OLDER),
        "fell by 70 %": fallen.candles(OLDER),
    }


def same_bits(some: Sequence[Floats], others: Sequence[Floats]) -> bool:
    """Whether all arrays are equal bit for bit, all NaN being equal."""
    return len(some) == len(others) and all(
        np.array_equal(a, b, equal_nan=True) for a, b in zip(some, others, strict=True)
    )


def share_memory(outputs: Sequence[Floats], inputs: Sequence[Floats]) -> bool:
    """Whether an output lies in the memory of an input, or of another output."""
    pairs = [(a, b) for a in outputs for b in inputs]
    pairs += [(a, b) for i, a in enumerate(outputs) for b in outputs[:i]]
    return any(np.shares_memory(a, b) for a, b in pairs)


def scale_of(column: Floats) -> float:
    """The size of a typical value: the median of those there are, without sign."""
    finite = np.abs(column[np.isfinite(column)])
    return float(np.median(finite)) if len(finite) else 0.0


def first_difference(
    expected: Sequence[Floats], actual: Sequence[Floats], rtol: float, sizes: Sequence[float] | None = None
) -> str | None:
    """Where the actual columns first leave the expected ones, as words; None if nowhere.

    ``rtol`` is relative to the value or to the column's typical size, whichever is larger.
    """
    sizes = [scale_of(column) for column in expected] if sizes is None else sizes
    for old, new, size in zip(expected, actual, sizes, strict=True):
        allowed = rtol * np.maximum(np.abs(old), size)
        same = (old == new) | (np.isnan(old) & np.isnan(new)) | (np.abs(old - new) <= allowed)
        if not same.all():
            row = int(same.argmin())
            return f"{int((~same).sum())} of {len(same)} values changed, the first from {old[row]} to {new[row]}"
    return None


def _guarded(law: str, indicator: Indicator, call: Callable[[], Any]) -> Any:
    with np.errstate(all="ignore"):
        try:
            return call()
        except Exception as exc:  # a stranger's indicator may raise anything
            if isinstance(exc, ValueError) and "read-only" in str(exc):
                raise LawBroken("pure", indicator, "changes its input") from exc
            raise LawBroken(law, indicator, f"raises {type(exc).__name__}: {exc}") from exc
