"""Two frames of one group, row by row: which keys stand in one only, and where the values part."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs
import numpy as np
import pandas as pd

from btcfs import frames
from btcfs.definitions import TIME_KEY
from btcfs.errors import ConfigError

Booleans = np.ndarray[Any, np.dtype[np.bool_]]
Positions = np.ndarray[Any, np.dtype[np.int64]]

_SIGN = np.int64(-(2**63))


@attrs.frozen
class Tolerance:
    """How far apart two floats may be and still count as equal: any one of these suffices.

    ``ulp`` counts representable numbers from one to the other, ``relative`` is a share of the larger
    magnitude, ``absolute`` is in the feature's own unit. With all at 0, only the same bits are equal.
    """

    ulp: int = 0
    relative: float = 0.0
    absolute: float = 0.0

    def __attrs_post_init__(self) -> None:
        for name, value in attrs.asdict(self).items():
            if not value >= 0:
                raise ConfigError(f"tolerance {name} is {value!r}, expected a number of at least 0")

    def equal(self, a: Any, b: Any) -> Booleans:
        """Whether each pair of float64 is equal; all NaN are."""
        same = (a == b) | (np.isnan(a) & np.isnan(b))
        if same.all() or not any(attrs.astuple(self)):
            return np.asarray(same)
        apart = np.abs(a - b)
        if self.absolute:
            same |= apart <= self.absolute
        if self.relative:
            same |= apart <= self.relative * np.maximum(np.abs(a), np.abs(b))
        if self.ulp:
            same |= (ulps(a, b) <= self.ulp) & ~np.isnan(a) & ~np.isnan(b)
        return np.asarray(same)


EXACT = Tolerance()


@attrs.frozen(eq=False)
class Aligned:
    """The positions in each frame of the keys in both, in key order, and of those in one only."""

    a: Positions
    b: Positions
    only_a: Positions
    only_b: Positions


def align(a: pd.DataFrame, b: pd.DataFrame, key: Sequence[str]) -> Aligned:
    """Match the rows of two frames by key; each frame holds a key at most once."""
    none = np.zeros(0, dtype="int64")
    if len(a) == len(b) and all(_same_column(a[name], b[name]) for name in key):
        every = np.arange(len(a))
        return Aligned(every, every, none, none)
    left = a[list(key)].assign(_a=np.arange(len(a)))
    right = b[list(key)].assign(_b=np.arange(len(b)))
    both = left.merge(right, on=list(key), how="outer", sort=True)
    in_a, in_b = both["_a"].notna().to_numpy(), both["_b"].notna().to_numpy()
    places_a, places_b = (both[name].fillna(-1).to_numpy(dtype="int64") for name in ("_a", "_b"))
    shared = in_a & in_b
    return Aligned(places_a[shared], places_b[shared], places_a[~in_b], places_b[~in_a])


def equal_values(a: pd.Series, b: pd.Series, tolerance: Tolerance = EXACT) -> Booleans:
    """Whether each pair of values is equal, missing ones being so; numbers of different types are compared as floats."""
    if _is_time(a) and _is_time(b):
        return np.asarray(frames.micros(a) == frames.micros(b))
    if _is_number(a) and _is_number(b):
        if a.dtype == b.dtype and a.dtype != np.float64:
            return np.asarray(a.to_numpy() == b.to_numpy())
        return tolerance.equal(a.to_numpy(dtype="float64"), b.to_numpy(dtype="float64"))
    if _is_number(a) or _is_number(b) or _is_time(a) or _is_time(b):
        return np.zeros(len(a), dtype=bool)
    missing = a.isna().to_numpy() & b.isna().to_numpy()
    return np.asarray(missing | (a.to_numpy(dtype=object) == b.to_numpy(dtype=object)))


def ulps(a: Any, b: Any) -> np.ndarray[Any, np.dtype[np.float64]]:
    """How many float64 lie from one number to the other: 0 for equal ones, 1 for neighbours."""
    if (np.signbit(a) != np.signbit(b)).any():  # then the difference of two ranks may exceed an int64
        return np.asarray(np.abs(_ranked(a).astype("float64") - _ranked(b).astype("float64")))
    return np.asarray(np.abs(_ranked(a) - _ranked(b)).astype("float64"))


def key_of(frame: pd.DataFrame, position: int, key: Sequence[str]) -> dict[str, Any]:
    """The key of a row, times in ISO 8601."""
    values = {name: frame[name].iloc[position] for name in key}
    return {name: value.isoformat() if name == TIME_KEY else value for name, value in values.items()}


def plain(value: Any) -> Any:
    """A cell as JSON holds it: times in ISO 8601, missing ones and NaN as None."""
    if value is None or value is pd.NaT or value != value:
        return None
    if isinstance(value, pd.Timestamp):
        return value.isoformat()
    return value.item() if isinstance(value, np.generic) else value


def _ranked(values: Any) -> np.ndarray[Any, np.dtype[np.int64]]:
    """The floats' places in their order; neighbours differ by 1, both zeros are 0."""
    bits = np.ascontiguousarray(values, dtype="float64").view("int64")
    return np.where(bits < 0, _SIGN - bits, bits)


def _same_column(a: pd.Series, b: pd.Series) -> bool:
    if _is_time(a) and _is_time(b):
        return bool((frames.micros(a) == frames.micros(b)).all())
    return bool((a.to_numpy(dtype=object) == b.to_numpy(dtype=object)).all())


def _is_time(column: pd.Series) -> bool:
    return isinstance(column.dtype, pd.DatetimeTZDtype)


def _is_number(column: pd.Series) -> bool:
    return column.dtype.kind in "fib"
