"""Sums over moving windows that depend on the window's rows alone, and ratios of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    Floats = np.ndarray[Any, np.dtype[np.float64]]


def window_sum(values: Floats, period: int) -> Floats:
    """The sum of the last ``period`` values at each row, NaN in the first ``period - 1``.

    Sums of 1, 2, 4, 8 ... rows are built by doubling and put together. A running sum, TA-Lib's
    included, keeps a residue of what left the window: after large volumes, a window without any
    would seem to hold 1e-9 coins or minus as many, and a price weighted by it is garbage.
    """
    out = np.full(len(values), np.nan)
    if len(values) < period:
        return out
    doubled, width, covered = values, 1, 0
    total: Floats | None = None
    while True:
        if period & width:
            # ``doubled[i]`` covers the rows i .. i + width - 1; here those that end ``covered`` rows before the last.
            part = doubled[period - covered - width : len(doubled) - covered]
            total = part if total is None else total + part
            covered += width
        if covered == period:
            break
        doubled, width = doubled[width:] + doubled[:-width], 2 * width
    out[period - 1 :] = total
    return out


def ratio(numerator: Floats, denominator: Floats, otherwise: Floats | float) -> Floats:
    """``numerator / denominator``, and ``otherwise`` where the denominator is exactly 0."""
    if denominator.all():
        return numerator / denominator
    out = np.array(np.broadcast_to(otherwise, denominator.shape))
    np.divide(numerator, denominator, out=out, where=denominator != 0.0)
    return out
