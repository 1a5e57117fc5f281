"""The laws of tree arrays: any trees are walked as a loop walks them, and no arrays make the walk go astray."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from btcfs.errors import SchemaError
from btcfs.training.compiled import Compiled, Tree, Trees, combined

WIDTH = 3
bounded = settings(max_examples=150, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
numbers = st.floats(-4, 4, allow_nan=False, width=32)
# A tree as nested tuples: a leaf's value, or (feature, threshold, missing goes left, left, right).
nested = st.recursive(
    numbers,
    lambda child: st.tuples(st.integers(0, WIDTH - 1), numbers, st.booleans(), child, child),
    max_leaves=12,
)
vectors = st.lists(st.one_of(numbers, st.just(math.nan)), min_size=WIDTH, max_size=WIDTH)


def walked(node: Any, vector: list[float]) -> float:
    """The leaf that a plain recursion comes to."""
    if not isinstance(node, tuple):
        return float(node)
    feature, threshold, missing_left, left, right = node
    value = vector[feature]
    goes_left = missing_left if math.isnan(value) else value <= threshold
    return walked(left if goes_left else right, vector)


def flattened(root: Any) -> Tree:
    """The tree in scikit-learn's layout: depth first, -1 for no child."""
    columns: dict[str, list[Any]] = {name: [] for name in ("feature", "threshold", "left", "right", "value", "missing")}

    def add(node: Any) -> int:
        at = len(columns["feature"])
        inner = isinstance(node, tuple)
        for name, value in zip(columns, node[:2] if inner else (-2, -2.0), strict=False):
            columns[name].append(value)
        columns["value"].append(0.0 if inner else float(node))
        columns["missing"].append(node[2] if inner else False)
        columns["left"].append(-1)
        columns["right"].append(-1)
        if inner:
            columns["left"][at] = add(node[3])
            columns["right"][at] = add(node[4])
        return at

    add(root)
    arrays = [np.array(values) for values in columns.values()]
    return Tree(*arrays)


@bounded
@given(st.lists(nested, min_size=1, max_size=5), st.lists(vectors, min_size=1, max_size=6))
def test_trees_are_walked_as_a_loop_walks_them(roots: list[Any], rows: list[list[float]]) -> None:
    """Any trees, of any shapes, give the sum of the leaves that a recursion finds, missing values among the inputs or not."""
    form = combined([flattened(root) for root in roots], width=WIDTH, single=False)
    model = Compiled("regression", WIDTH, form, missing="handled")
    matrix = np.array(rows)

    expected = [math.fsum(walked(root, row) for root in roots) for row in rows]

    assert np.allclose(model.predict_many(matrix), expected, rtol=1e-12, atol=1e-12)
    assert [model.predict(row) for row in matrix] == model.predict_many(matrix).tolist()
    spec, arrays = model.spec()
    assert Compiled.from_spec(spec, arrays).predict_many(matrix).tolist() == model.predict_many(matrix).tolist()


@bounded
@given(
    st.lists(nested, min_size=1, max_size=3),
    st.sampled_from(["feature", "left", "threshold", "value", "missing_right"]),
    st.integers(0, 100),
    st.one_of(st.integers(-(2**31), 2**31 - 1), st.sampled_from([math.nan, math.inf, -math.inf, 0.5])),
    st.lists(vectors, min_size=1, max_size=3),
)
def test_no_arrays_lead_astray(roots: list[Any], name: str, at: int, value: Any, rows: list[list[float]]) -> None:
    """With any one number replaced the trees are refused, or they are trees still and give finite numbers."""
    model = Compiled("regression", WIDTH, combined([flattened(r) for r in roots], width=WIDTH, single=False))
    spec, arrays = model.spec()
    spoiled = {key: array.copy() for key, array in arrays.items()}
    array = spoiled[name]
    if array.dtype.kind in "ib":
        value = int(value) if math.isfinite(value) else 0
    array[at % len(array)] = bool(value) if array.dtype.kind == "b" else value

    try:
        again = Compiled.from_spec({**spec, "missing": "handled"}, spoiled)
    except SchemaError:
        return
    assert isinstance(again.form, Trees)
    assert np.isfinite(again.predict_many(np.array(rows))).all()
