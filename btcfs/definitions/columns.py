"""One column of a feature group, and the code that it was computed by."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import attrs

from btcfs.definitions.fields import valid_name
from btcfs.errors import DefinitionError

DTYPES = ("float64", "int64", "bool", "string", "timestamp")
NUMERIC_DTYPES = ("float64", "int64", "bool")


def _bounds(pair: Iterable[float] | None) -> tuple[float, float] | None:
    if pair is None:
        return None
    low, high = pair
    return float(low), float(high)


@attrs.frozen
class Feature:
    """One column: its name, type, unit and, if it has them, the bounds its values lie in.

    ``dtype`` is one of ``float64``, ``int64``, ``bool``, ``string``, ``timestamp``; a timestamp is
    UTC with microseconds. A float may be missing (NaN) and is never infinite; so may a string
    (None) and a timestamp (NaT); an int64 or a bool is never missing.
    """

    name: str = attrs.field(validator=valid_name)
    dtype: str = attrs.field(default="float64")
    unit: str = "1"
    description: str = ""
    bounds: tuple[float, float] | None = attrs.field(default=None, converter=_bounds)

    @dtype.validator
    def _known_dtype(self, _: object, dtype: str) -> None:
        if dtype not in DTYPES:
            raise DefinitionError(f"feature {self.name!r} has dtype {dtype!r}; known are {', '.join(DTYPES)}")

    @property
    def numeric(self) -> bool:
        """Whether a feature view, whose vectors are float64 arrays, may contain it."""
        return self.dtype in NUMERIC_DTYPES

    def to_dict(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "dtype": self.dtype,
            "unit": self.unit,
            "description": self.description,
            "bounds": None if self.bounds is None else list(self.bounds),
        }


@attrs.frozen
class IndicatorRef:
    """Which indicator code and parameters a feature group was computed by."""

    name: str
    params: tuple[tuple[str, Any], ...] = ()
    hash: str = ""

    def to_dict(self) -> dict[str, Any]:
        return {"name": self.name, "params": [list(pair) for pair in self.params], "hash": self.hash}
