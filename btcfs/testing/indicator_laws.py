"""The laws of indicators, each a function that raises LawBroken if an indicator breaks it on a market."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np

from btcfs.indicators import Indicator, Memory
from btcfs.pipeline.compute import compute, compute_new, compute_stream
from btcfs.pipeline.plan import plan
from btcfs.testing.indicator_probing import (
    OLDER,
    called,
    engine,
    first_difference,
    joined,
    other_histories,
    own_inputs,
    require,
    rows_that_matter,
    same_bits,
    scale_of,
    scaled,
    share_memory,
    some_rows,
    values_of,
)
from btcfs.testing.synthetic import Market, candle_frame

if TYPE_CHECKING:
    Floats = np.ndarray[Any, np.dtype[np.float64]]

Law = Callable[[Indicator, Market], None]

_LATER = 40  # rows after those under test
_PREFIX_RTOL = 1e-10
_INTERVAL = "1h"


def shape(indicator: Indicator, market: Market) -> None:
    """Every output is a float64 array as long as the input, for any length from 0 on."""
    reach = rows_that_matter(indicator)
    for rows in (0, 1, 2, indicator.lookback, indicator.lookback + 1, reach, reach + _LATER):
        values_of("shape", indicator, market.candles(rows))


def pure(indicator: Indicator, market: Market) -> None:
    """The same input gives the same output after other calls; input and earlier outputs are left alone."""
    rows = rows_that_matter(indicator) + _LATER
    candles, other = market.candles(rows), market.other().candles(rows)
    arrays = own_inputs(indicator, candles)
    before = [array.copy() for array in arrays]
    raw = called("pure", indicator, arrays)
    require("pure", indicator, same_bits(before, arrays), "changes its input")
    require("pure", indicator, not share_memory(raw, arrays), "returns a view of its input; return a new array")
    first = [np.array(array) for array in raw]
    second = values_of("pure", indicator, other)
    shorter = values_of("pure", indicator, other.rows(0, rows - 1))
    require("pure", indicator, same_bits(first, raw), "writes into an array that it returned before")
    again = called("pure", indicator, arrays)
    require("pure", indicator, same_bits(first, again), "gives another result when called again with the same input")
    remembers = first_difference([column[:-1] for column in second], shorter, _PREFIX_RTOL)
    require("pure", indicator, remembers is None, f"gives a result that belongs to another input: {remembers}")


def prefix(indicator: Indicator, market: Market) -> None:
    """Cutting, replacing or scaling the future leaves the past alone."""
    rows = rows_that_matter(indicator) + OLDER
    candles, other = market.candles(rows), market.other().candles(rows)
    whole = values_of("prefix", indicator, candles)
    for cut in some_rows(market, indicator.lookback + 1, rows):
        past = [column[:cut] for column in whole]
        tripled = joined(candles.rows(0, cut), scaled(candles.rows(cut, rows), price=3.0, volume=3.0))
        futures = {
            "was cut off": candles.rows(0, cut),
            "was replaced": joined(candles.rows(0, cut), other.rows(cut, rows)),
            "was tripled": tripled,
        }
        for what, changed in futures.items():
            difference = first_difference(
                past, [c[:cut] for c in values_of("prefix", indicator, changed)], _PREFIX_RTOL
            )
            problem = f"looks ahead: when the future from row {cut} of {rows} {what}, {difference}"
            require("prefix", indicator, difference is None, problem)


def warm_up(indicator: Indicator, market: Market) -> None:
    """Values are NaN in exactly the first ``lookback`` rows, and finite from there on."""
    lookback = indicator.lookback
    values = values_of("warm-up", indicator, market.calm().candles(rows_that_matter(indicator) + _LATER))
    for feature, column in zip(indicator.outputs, values, strict=True):
        early = int(np.count_nonzero(~np.isnan(column[:lookback])))
        problem = (
            f"declares a lookback of {lookback}, but {feature.name} has {early} values in the first {lookback} rows"
        )
        require("warm-up", indicator, early == 0, problem)
        holes = np.flatnonzero(~np.isfinite(column[lookback:]))
        where = int(holes[0]) + lookback if len(holes) else -1
        problem = f"declares a lookback of {lookback}, but {feature.name} is {column[where]} in row {where}"
        require("warm-up", indicator, not len(holes), problem)


def window(indicator: Indicator, market: Market) -> None:
    """What lies more than lookback + unstable rows back does not show, however it is rewritten or cut off."""
    if indicator.memory is Memory.INFINITE:
        return
    reach = rows_that_matter(indicator)
    rows = OLDER + reach + _LATER
    candles = market.candles(rows)
    whole = values_of("window", indicator, candles)
    sizes = [scale_of(column) for column in whole]

    def compare(first: int, last: int, what: str, values: list[Floats]) -> None:
        expected = [column[first:last] for column in whole]
        difference = first_difference(expected, values, indicator.rtol, sizes)
        problem = f"remembers more than its {reach - 1} rows: when what lay before {what}, {difference}"
        require("window", indicator, difference is None, problem)

    for last in some_rows(market, OLDER + reach, rows):
        alone = values_of("window", indicator, candles.rows(last - reach, last))
        compare(last - 1, last, "was cut off", [column[-1:] for column in alone])
    for what, history in other_histories(market).items():
        values = values_of("window", indicator, joined(history, candles.rows(OLDER, rows)))
        compare(OLDER + reach - 1, rows, what, [column[OLDER + reach - 1 :] for column in values])


def chunks(indicator: Indicator, market: Market) -> None:
    """History, stream, new candles and truncated history give the same bits, and to ``rtol`` those of one pass."""
    if indicator.memory is Memory.INFINITE:
        return
    reach = rows_that_matter(indicator)
    small = attrs.evolve(plan([indicator], _INTERVAL), segment=64, warmup=1 << reach.bit_length())
    rows = small.warmup + 200
    candles = market.candles(rows)
    whole = engine(indicator, compute, small, candles)
    rng = np.random.default_rng(market.seed)
    ends = [0, *sorted(rng.integers(1, rows, 4).tolist()), rows]
    pieces = [candle_frame(candles.rows(a, b)) for a, b in pairwise(ends)]
    stream = [block.columns for block in engine(indicator, lambda: list(compute_stream(small, pieces)))]
    streamed = [np.concatenate(parts) for parts in zip(*stream, strict=True)]
    require("chunks", indicator, same_bits(streamed, whole.columns), "gives other bits for a stream of chunks")
    known = int(rng.integers(rows - 100, rows))
    new = engine(indicator, compute_new, small, candles.rows(0, known), candles.rows(known, known + 1))
    at = [column[known : known + 1] for column in whole.columns]
    require("chunks", indicator, same_bits(new.columns, at), "gives other bits for a new candle than for the history")
    settled = slice(reach, rows)
    one_pass = [column[settled] for column in values_of("chunks", indicator, candles)]
    difference = first_difference(one_pass, [column[settled] for column in whole.columns], indicator.rtol)
    require("chunks", indicator, difference is None, f"depends on where the computation starts: {difference}")


def scale(indicator: Indicator, market: Market) -> None:
    """Prices or volumes times a power of two scale each output by its declared degree."""
    rows = rows_that_matter(indicator) + _LATER
    candles = market.candles(rows)
    plain = values_of("scale", indicator, candles)
    for what, factor in (("price", 8.0), ("price", 0.5), ("volume", 8.0), ("volume", 0.5)):
        larger = values_of("scale", indicator, scaled(candles, **{what: factor}))
        for output, feature, old, new in zip(indicator.declared, indicator.outputs, plain, larger, strict=True):
            degree = output.price_degree if what == "price" else output.volume_degree
            if degree is None:
                continue
            difference = first_difference([old * factor**degree], [new], indicator.rtol)
            problem = f"declares {what}_degree={degree} for {feature.name}, but with {what} x {factor} {difference}"
            require("scale", indicator, difference is None, problem)


def bounds(indicator: Indicator, market: Market) -> None:
    """Values lie within the declared bounds, on any market."""
    values = values_of("bounds", indicator, market.candles(rows_that_matter(indicator) + OLDER))
    for feature, column in zip(indicator.outputs, values, strict=True):
        if feature.bounds is None:
            continue
        low, high = feature.bounds
        slack = 1e-9 * max(abs(low), abs(high), 1.0)
        outside = column[(column < low - slack) | (column > high + slack)]
        problem = f"gives {feature.name} = {outside[:1]}, outside of its bounds {low} to {high}"
        require("bounds", indicator, not len(outside), problem)


def hostile(indicator: Indicator, market: Market) -> None:
    """Flat, silent and jumping markets raise nothing, give nothing infinite, leave no hole, and are over a window later."""
    reach = rows_that_matter(indicator)
    for candles in (market.candles(reach + OLDER), *(other_histories(market)).values()):
        for feature, column in zip(indicator.outputs, values_of("hostile", indicator, candles), strict=True):
            broken = np.flatnonzero(~np.isfinite(column[indicator.lookback :]))
            row = int(broken[0]) + indicator.lookback if len(broken) else -1
            problem = f"gives {feature.name} = {column[row] if len(column) else None} in row {row} of a strange market"
            require("hostile", indicator, not len(broken), problem)


def threads(indicator: Indicator, market: Market) -> None:
    """Several threads at once get what one gets."""
    rows = rows_that_matter(indicator) + _LATER
    inputs = [attrs.evolve(market, seed=market.seed + k).candles(rows) for k in range(8)]
    serial = [values_of("threads", indicator, candles) for candles in inputs]
    with ThreadPoolExecutor(4) as pool:
        parallel = list(pool.map(lambda candles: values_of("threads", indicator, candles), inputs * 2))
    same = all(same_bits(a, b) for a, b in zip(serial * 2, parallel, strict=True))
    require("threads", indicator, same, "gives other results when called from several threads")


LAWS: Mapping[str, Law] = {
    "shape": shape,
    "pure": pure,
    "prefix": prefix,
    "warm-up": warm_up,
    "window": window,
    "chunks": chunks,
    "scale": scale,
    "bounds": bounds,
    "hostile": hostile,
    "threads": threads,
}
