"""A histogram whose edges are fixed by the feature alone, so that those of any two commits can be compared and added."""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np

Floats = np.ndarray[Any, np.dtype[np.float64]]
Counts = np.ndarray[Any, np.dtype[np.int64]]

BINS_WITHIN_BOUNDS = 50
_SHIFT = 48  # keeps sign, exponent and four bits of the mantissa: sixteen bins to each doubling


@attrs.define
class Histogram:
    """Counts per bin. With finite ``bounds``: 50 equal bins between them, values outside in the outer ones.

    Otherwise the bins are dyadic, ``[2^e (1 + k/16), 2^e (1 + (k+1)/16))`` and their mirror images,
    at most 6.25 % wide; the one at zero ends at 1.4e-309.
    """

    bounds: tuple[float, float] | None = None
    counts: Counts = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        if self.bounds is not None and not np.isfinite(self.bounds).all():
            self.bounds = None
        self.counts = np.zeros(BINS_WITHIN_BOUNDS if self.bounds else 1 << (64 - _SHIFT), dtype=np.int64)

    def add(self, values: Floats) -> None:
        """Count finite values."""
        if self.bounds is None:
            index = (values + 0.0).view(np.uint64) >> np.uint64(_SHIFT)  # + 0.0 turns -0.0 into 0.0
        else:
            low, high = self.bounds
            index = np.clip((values - low) * (BINS_WITHIN_BOUNDS / (high - low)), 0, BINS_WITHIN_BOUNDS - 1)
        self.counts += np.bincount(index.astype(np.int64), minlength=len(self.counts))

    def bins(self) -> list[tuple[float, float, int]]:
        """The bins that are not empty, ascending: low edge, high edge, rows."""
        found = [(*self._edges(int(i)), int(self.counts[i])) for i in np.flatnonzero(self.counts)]
        return sorted(found)

    def _edges(self, index: int) -> tuple[float, float]:
        if self.bounds is not None:
            low, high = self.bounds
            width = (high - low) / BINS_WITHIN_BOUNDS
            return low + index * width, low + (index + 1) * width
        near, far = np.array([index << _SHIFT, (index + 1) << _SHIFT], dtype=np.uint64).view(np.float64)
        return (float(near), float(far)) if far > 0 else (float(far), float(near))
