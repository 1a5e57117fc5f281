"""How many threads a fit and a prediction take of the numerical libraries."""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np
import pytest

from btcfs.training import threads
from btcfs.training.walk import fit, predict

threadpoolctl = pytest.importorskip("threadpoolctl", reason="scikit-learn is in the extra 'train'")

X, Y = np.ones((10, 3)), np.ones(10)


def taken() -> set[int]:
    """The threads that each loaded library would take now."""
    return {library["num_threads"] for library in threadpoolctl.threadpool_info()}


@attrs.define
class Watching:
    """An estimator that notes the threads it is given."""

    seen: list[set[int]] = attrs.field(factory=list)

    def fit(self, X: Any, y: Any) -> None:
        self.seen.append(taken())

    def predict(self, X: Any) -> Any:
        self.seen.append(taken())
        return Y


@pytest.mark.parametrize(("few", "expected"), [(X.size, {1}), (X.size - 1, {2})])
def test_small_work_takes_one_thread(few: int, expected: set[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """Up to a number of values a fit and a prediction run on one thread, beyond it on as many as there are; both leave no trace."""
    monkeypatch.setattr(threads, "FEW_CELLS", few)
    with threadpoolctl.threadpool_limits(2):
        estimator = fit(Watching, X, Y, "regression")
        predict(estimator, X, "regression")
        after = taken()

    assert estimator.seen == [expected, expected]
    assert after == {2}
