"""Scaling by column, repeated operation by operation so that its results equal scikit-learn's to the last bit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import attrs
import numpy as np

from btcfs.errors import SchemaError

Floats = np.ndarray[Any, np.dtype[np.float64]]
Arrays = Mapping[str, np.ndarray[Any, Any]]


def _fill(values: Floats, by: Floats) -> Floats:
    return np.where(np.isnan(values), by, values)


OPERATIONS: dict[str, Callable[[Floats, Floats], Floats]] = {
    "subtract": np.subtract,
    "divide": np.divide,
    "multiply": np.multiply,
    "add": np.add,
    "fill": _fill,  # what a missing value is replaced by
}
_LINEAR = frozenset(OPERATIONS) - {"fill"}


@attrs.frozen(eq=False)
class Scaling:
    """Operations on a vector or a matrix, in order: each a name and one float64 operand for each column."""

    steps: tuple[tuple[str, Floats], ...] = ()

    def __call__(self, values: Floats) -> Floats:
        """The values scaled: shape (d,) or (n, d), as given."""
        for name, operand in self.steps:
            values = OPERATIONS[name](values, operand)
        return values

    @property
    def fills(self) -> bool:
        """Whether missing values are replaced."""
        return any(name == "fill" for name, _ in self.steps)

    @property
    def linear(self) -> bool:
        """Whether the whole of it is a factor and an offset for each column."""
        return all(name in _LINEAR for name, _ in self.steps)

    def folded(self, width: int) -> tuple[Floats, Floats]:
        """The factor and the offset of each column, for a linear scaling."""
        factor, offset = np.ones(width), np.zeros(width)
        for name, operand in self.steps:
            operation = OPERATIONS[name]
            if name in ("divide", "multiply"):
                factor = operation(factor, operand)
            offset = operation(offset, operand)
        return factor, offset

    def spec(self) -> tuple[list[str], dict[str, Floats]]:
        """The names in order, and the operands as ``scaling_0``, ``scaling_1``, ..."""
        return [name for name, _ in self.steps], {f"scaling_{i}": operand for i, (_, operand) in enumerate(self.steps)}

    @classmethod
    def from_spec(cls, names: Any, arrays: Arrays, width: int) -> Scaling:
        """The scaling that ``spec`` described. SchemaError for an unknown operation or a wrong operand."""
        if not isinstance(names, list):
            raise SchemaError(f"the model's scaling is {names!r}, expected a list of operations")
        steps = []
        for index, name in enumerate(names):
            if name not in OPERATIONS:
                raise SchemaError(f"the model's scaling has the operation {name!r}; known are {', '.join(OPERATIONS)}")
            operand = checked(arrays, f"scaling_{index}", np.float64, width)
            if not np.isfinite(operand).all():
                raise SchemaError(f"the operand of the model's scaling step {index} is not finite")
            steps.append((name, operand))
        return cls(tuple(steps))


def checked(arrays: Arrays, name: str, dtype: Any, length: int | None = None) -> np.ndarray[Any, Any]:
    """The array of that name. SchemaError unless it is there, of one dimension, of that type and length."""
    if name not in arrays:
        raise SchemaError(f"the model lacks the array {name!r}; it has {', '.join(arrays) or 'none'}")
    array = arrays[name]
    if array.dtype != np.dtype(dtype) or array.ndim != 1 or length not in (None, len(array)):
        expected = f"{np.dtype(dtype)} of length {'any' if length is None else length}"
        raise SchemaError(f"the model's array {name!r} is {array.dtype} of shape {array.shape}, expected {expected}")
    return array
