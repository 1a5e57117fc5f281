"""What a model plugin provides: named recipes for estimators and baselines."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal

import attrs

from btcfs.errors import DefinitionError

Task = Literal["classification", "regression"]
TASKS: tuple[Task, ...] = ("classification", "regression")


def _names(names: Iterable[str]) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else tuple(names)


@attrs.frozen(eq=False)
class ModelKind:
    """A recipe for an unfitted scikit-learn estimator.

    ``task`` is ``classification`` (of direction: 1.0 is up, 0.0 is not) or ``regression`` (of
    change in percent). ``build`` takes the model's parameters and returns an object with ``fit``,
    ``predict`` and, for classification, ``predict_proba``, over float64 matrices whose columns are
    a view's features; scaling belongs inside it. A ``baseline`` learns nothing that could be called
    skill, and every other model is compared with it.

    A model that is a rule about certain features says which in ``needs``; its ``build`` gets
    their positions as the keyword ``columns``, a mapping of name to index. ``counterpart`` names
    the kind for the other task that is trained with this one. ``missing`` says what a fitted model
    does with a missing value (NaN): it is ``refused`` or ``handled``.
    """

    name: str
    task: Task = attrs.field()
    build: Callable[..., Any]
    baseline: bool = False
    description: str = ""
    needs: tuple[str, ...] = attrs.field(default=(), converter=_names)
    counterpart: str = ""
    missing: Literal["refused", "handled"] = attrs.field(default="refused")

    @task.validator
    def _known_task(self, _: object, task: str) -> None:
        if task not in TASKS:
            raise DefinitionError(f"model {self.name!r} has task {task!r}; known are {', '.join(TASKS)}")

    @missing.validator
    def _known_missing(self, _: object, missing: str) -> None:
        if missing not in ("refused", "handled"):
            raise DefinitionError(f"model {self.name!r} has missing={missing!r}; expected 'refused' or 'handled'")

    def estimator(self, features: Sequence[str], **params: Any) -> Any:
        """An unfitted estimator for matrices of these columns. DefinitionError if one it needs is not among them."""
        if not self.needs:
            return self.build(**params)
        names = list(features)
        lacking = [name for name in self.needs if name not in names]
        if lacking:
            raise DefinitionError(
                f"model {self.name!r} is a rule about {', '.join(lacking)}, which the view has not; "
                "add it to the view or choose another model"
            )
        return self.build(columns={name: names.index(name) for name in self.needs}, **params)
