"""Vectors that were read together, as one array for a model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from btcfs.store import FeatureVector

if TYPE_CHECKING:
    Floats = np.ndarray[Any, np.dtype[np.float64]]


def as_matrix(vectors: Sequence[FeatureVector]) -> Floats:
    """The values of a view's vectors, shape (vectors, features), float64.

    A store that read them as one array says so by the sequence's attribute ``matrix``. That is given as it is, at no
    cost, and is not to be written to: each vector's ``values`` are a row of it.
    """
    matrix: Floats | None = getattr(vectors, "matrix", None)
    return np.array([vector.values for vector in vectors]) if matrix is None else matrix
