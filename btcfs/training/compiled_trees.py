"""Decision trees as flat arrays, all of them walked at once by numpy."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

import attrs
import numpy as np

from btcfs.errors import DefinitionError, SchemaError
from btcfs.training.compiled_scaling import Arrays, Floats, checked

Integers = np.ndarray[Any, np.dtype[np.intp]]
Booleans = np.ndarray[Any, np.dtype[np.bool_]]
ROWS_AT_ONCE = 64


@attrs.frozen(eq=False)
class Tree:
    """One tree as its nodes: at an inner node a value ``<= threshold`` goes left; ``left`` of a leaf is -1."""

    feature: Any
    threshold: Any
    left: Any
    right: Any
    value: Any
    missing_left: Any


@attrs.frozen(eq=False)
class Trees:
    """Many trees whose leaves are summed: ``sum / divisor + intercept``.

    The nodes stand level by level, the ``count`` roots first; the children of node i are ``left[i]``
    and the one after it, and a leaf is its own left child with an infinite threshold, so that
    ``depth`` steps take every tree to its leaf. With ``single`` the values are rounded to float32
    before they are compared, as scikit-learn's forests do; thresholds are float64 always.
    """

    feature: Integers
    threshold: Floats
    left: Integers
    value: Floats
    missing_right: Booleans
    count: int
    width: int
    single: bool
    divisor: float = 1.0
    intercept: float = 0.0

    @cached_property
    def depth(self) -> int:
        """Steps from the roots to the deepest leaf."""
        return sum(1 for _ in _levels(self.left, self.count)) - 1

    def raw(self, values: Floats) -> float:
        """The score of one vector."""
        if self.single:
            values = _rounded(values)
        node: Integers = np.arange(self.count)
        missing = bool(np.isnan(values).any())
        for _ in range(self.depth):
            feature = self.feature.take(node)
            value = values.take(feature)
            right = value > self.threshold.take(node)
            if missing:
                right |= np.isnan(value) & self.missing_right.take(node)
            node = self.left.take(node) + right
        return float(self.value.take(node).sum()) / self.divisor + self.intercept

    def raw_many(self, matrix: Floats) -> Floats:
        """The score of each row, the same to the last bit as the row's alone."""
        if self.single:
            matrix = _rounded(matrix)
        parts = [self._block(matrix[at : at + ROWS_AT_ONCE]) for at in range(0, len(matrix), ROWS_AT_ONCE)]
        return np.concatenate(parts) if parts else np.empty(0)

    def _block(self, matrix: Floats) -> Floats:
        rows = len(matrix)
        flat = np.ascontiguousarray(matrix).ravel()
        start = np.repeat(np.arange(rows) * self.width, self.count)
        node: Integers = np.tile(np.arange(self.count), rows)
        missing = bool(np.isnan(flat).any())
        for _ in range(self.depth):
            value = flat.take(self.feature.take(node) + start)
            right = value > self.threshold.take(node)
            if missing:
                right |= np.isnan(value) & self.missing_right.take(node)
            node = self.left.take(node) + right
        sums: Floats = self.value.take(node).reshape(rows, self.count).sum(axis=1)
        return sums / self.divisor + self.intercept

    def spec(self) -> tuple[dict[str, Any], dict[str, np.ndarray[Any, Any]]]:
        numbers = {"form": "trees", "count": self.count, "single": self.single}
        arrays: dict[str, np.ndarray[Any, Any]] = {
            "feature": self.feature.astype(np.int32),
            "threshold": self.threshold,
            "left": self.left.astype(np.int32),
            "value": self.value,
            "missing_right": self.missing_right,
        }
        return {**numbers, "divisor": self.divisor, "intercept": self.intercept}, arrays

    @classmethod
    def from_spec(cls, spec: dict[str, Any], arrays: Arrays, width: int) -> Trees:
        """The trees that ``spec`` described.

        SchemaError unless every node but a root has exactly one parent, before it, and every leaf
        ends the walk: no array that passes can make the walk leave its bounds or go on for ever.
        """
        left = checked(arrays, "left", np.int32)
        nodes = len(left)
        count, single = spec.get("count"), spec.get("single")
        if not isinstance(count, int) or isinstance(count, bool) or not 1 <= count <= nodes:
            raise SchemaError(f"the model has {count!r} trees of {nodes} nodes, expected a number of at least 1")
        numbers = [spec.get("divisor"), spec.get("intercept")]
        if not isinstance(single, bool) or not all(isinstance(n, float) and math.isfinite(n) for n in numbers):
            raise SchemaError("the model's single, divisor or intercept is not what it should be")
        trees = cls(
            feature=checked(arrays, "feature", np.int32, nodes).astype(np.intp),
            threshold=checked(arrays, "threshold", np.float64, nodes),
            left=left.astype(np.intp),
            value=checked(arrays, "value", np.float64, nodes),
            missing_right=checked(arrays, "missing_right", np.bool_, nodes),
            count=count,
            width=width,
            single=single,
            divisor=float(numbers[0] or 0.0),
            intercept=float(numbers[1] or 0.0),
        )
        _refuse_broken(trees)
        _ = trees.depth  # counted now, so that the first prediction is as fast as the others
        return trees


def combined(trees: Sequence[Tree], *, width: int, single: bool, divisor: float = 1.0, intercept: float = 0.0) -> Trees:
    """The trees put into one set of arrays, level by level."""
    if not trees:
        raise DefinitionError("a model of no trees cannot be compiled; fit it first")
    sizes = [len(tree.left) for tree in trees]
    offsets = np.cumsum([0, *sizes[:-1]])
    left = np.concatenate([np.where(t.left < 0, -1, t.left + at) for t, at in zip(trees, offsets, strict=True)])
    right = np.concatenate([np.where(t.left < 0, -1, t.right + at) for t, at in zip(trees, offsets, strict=True)])
    order = _by_level(left, right, offsets)
    place = np.empty(len(order), np.intp)
    place[order] = np.arange(len(order))
    leaf = left[order] < 0

    def joined(name: str) -> Any:
        return np.concatenate([np.asarray(getattr(tree, name)) for tree in trees])[order]

    return Trees(
        feature=np.where(leaf, 0, joined("feature")).astype(np.intp),
        threshold=np.where(leaf, np.inf, joined("threshold")).astype(np.float64),
        left=np.where(leaf, np.arange(len(order)), place[left[order]]).astype(np.intp),
        value=np.where(leaf, joined("value"), 0.0).astype(np.float64),
        missing_right=np.where(leaf, False, ~joined("missing_left").astype(bool)),
        count=len(trees),
        width=width,
        single=single,
        divisor=divisor,
        intercept=intercept,
    )


def _rounded(values: Floats) -> Floats:
    with np.errstate(over="ignore"):  # beyond float32 is above every threshold, as it should be
        return values.astype(np.float32).astype(np.float64)


def _by_level(left: Integers, right: Integers, roots: Integers) -> Integers:
    levels = []
    level = roots
    while len(level):
        levels.append(level)
        inner = level[left[level] >= 0]
        level = np.stack([left[inner], right[inner]], axis=1).ravel()
    return np.concatenate(levels)


def _levels(left: Integers, count: int) -> Iterator[Integers]:
    level: Integers = np.arange(count)
    while len(level):
        yield level
        inner = level[left[level] != level]
        level = np.concatenate([left[inner], left[inner] + 1])


def _refuse_broken(trees: Trees) -> None:
    nodes = len(trees.left)
    place = np.arange(nodes)
    leaf = trees.left == place
    children = np.concatenate([trees.left[~leaf], trees.left[~leaf] + 1])
    expected = np.ones(nodes, np.intp)
    expected[: trees.count] = 0
    problems = {
        "a child outside the arrays or before its parent": bool(
            (trees.left[~leaf] <= place[~leaf]).any() or (children >= nodes).any()
        ),
        "a feature outside the vector": bool((trees.feature < 0).any() or (trees.feature >= trees.width).any()),
        "a threshold that is not a number": bool(np.isnan(trees.threshold).any()),
        "a leaf that does not end the walk": bool(
            (trees.threshold[leaf] != np.inf).any() or trees.missing_right[leaf].any()
        ),
        "a value that is not finite": not np.isfinite(trees.value).all(),
        "a divisor of zero": trees.divisor == 0.0,
    }
    found = [problem for problem, there in problems.items() if there]
    if not found and (np.bincount(children, minlength=nodes) != expected).any():
        found = ["a node with no parent or with two"]
    if found:
        raise SchemaError(f"the model's trees have {', '.join(found)}")
