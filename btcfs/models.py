"""What a model plugin provides: named recipes for estimators and baselines."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import attrs


@attrs.frozen(eq=False)
class ModelKind:
    """A recipe for an unfitted scikit-learn estimator.

    ``task`` is ``classification`` (of direction) or ``regression`` (of change in percent).
    ``build`` takes the model's parameters and returns an object with ``fit``, ``predict`` and, for
    classification, ``predict_proba``; scaling belongs inside it. A ``baseline`` learns nothing
    that could be called skill, and every other model is compared with it.
    """

    name: str
    task: Literal["classification", "regression"]
    build: Callable[..., Any]
    baseline: bool = False
    description: str = ""
