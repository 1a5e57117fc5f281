"""A linear model as one dot product."""

from __future__ import annotations

import math
from typing import Any

import attrs
import numpy as np

from btcfs.errors import SchemaError
from btcfs.training.compiled_scaling import Arrays, Floats, Scaling, checked


@attrs.frozen(eq=False)
class Linear:
    """``weights · values + intercept``; no weights that are not zero make a constant."""

    weights: Floats
    intercept: float = 0.0

    @property
    def width(self) -> int:
        return len(self.weights)

    def raw(self, values: Floats) -> float:
        """The score of one vector; NaN if a value is missing."""
        return float(np.vdot(values, self.weights)) + self.intercept  # unlike dot it says nothing of infinity

    def raw_many(self, matrix: Floats) -> Floats:
        """The score of each row."""
        # Row by row: a matrix product sums in another order, and one row must give the same bits alone.
        weights, intercept = self.weights, self.intercept
        return np.fromiter((float(np.vdot(row, weights)) + intercept for row in matrix), np.float64, len(matrix))

    def after(self, scaling: Scaling) -> Linear:
        """The model of unscaled values, the linear scaling folded into the weights."""
        factor, offset = scaling.folded(self.width)
        return Linear(np.ascontiguousarray(self.weights * factor), self.intercept + math.fsum(self.weights * offset))

    def spec(self) -> tuple[dict[str, Any], dict[str, Floats]]:
        return {"form": "linear", "intercept": self.intercept}, {"weights": self.weights}

    @classmethod
    def from_spec(cls, spec: dict[str, Any], arrays: Arrays, width: int) -> Linear:
        """The model that ``spec`` described. SchemaError if it is not whole."""
        weights = checked(arrays, "weights", np.float64, width)
        intercept = spec.get("intercept")
        if not isinstance(intercept, float) or not math.isfinite(intercept) or not np.isfinite(weights).all():
            raise SchemaError("the linear model's weights or its intercept are not finite numbers")
        return cls(np.ascontiguousarray(weights), intercept)
