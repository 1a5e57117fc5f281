"""A fitted model as plain arrays: a fraction of the estimator's time for one row, and nothing to execute on load."""

from __future__ import annotations

import math
from typing import Any

import attrs
import numpy as np

from btcfs.errors import CheckFailed, DefinitionError, SchemaError
from btcfs.models import TASKS, Task
from btcfs.training.compiled_linear import Linear
from btcfs.training.compiled_scaling import Arrays, Floats, Scaling
from btcfs.training.compiled_sklearn import Link, Parts, parts, pipeline_steps, scaling_steps
from btcfs.training.compiled_trees import Tree, Trees, combined

__all__ = ["Compiled", "Linear", "Parity", "Parts", "Tree", "Trees", "combined", "compile_pipeline", "parity"]

TOLERANCE = 1e-9
_FORMS: dict[str, type[Linear] | type[Trees]] = {"linear": Linear, "trees": Trees}


@attrs.frozen(eq=False)
class Compiled:
    """A model of ``width`` features in the order of its view.

    For classification it predicts the probability of up (the label is up where that is above one
    half), for regression the change in percent. ``missing`` says whether NaN is ``refused`` or
    ``handled``; an infinite value is refused always. It is immutable and safe to share by threads.
    """

    task: Task
    width: int
    form: Linear | Trees
    scaling: Scaling = attrs.field(factory=Scaling)
    link: Link = "identity"
    missing: str = "refused"
    direct: bool = attrs.field(init=False)  # one dot product, which is not finite if a value is not

    def __attrs_post_init__(self) -> None:
        direct = isinstance(self.form, Linear) and not self.scaling.steps and self.missing == "refused"
        object.__setattr__(self, "direct", direct)

    def predict(self, values: Floats) -> float:
        """The prediction for one vector of shape (width,). SchemaError for another shape and for a refused value."""
        vector = np.ascontiguousarray(values, dtype=np.float64)
        if vector.shape != (self.width,):
            raise SchemaError(f"a vector of shape {vector.shape} was given to a model of {self.width} features")
        if self.direct:
            raw = self.form.raw(vector)
            if not math.isfinite(raw):
                self._refuse(vector)
            return self._linked(raw)
        if b"\0" in np.isfinite(vector).tobytes():  # half the time of isfinite().all()
            self._refuse(vector)
        if self.scaling.steps:
            vector = self.scaling(vector)
        return self._linked(self.form.raw(vector))

    def predict_many(self, matrix: Floats) -> Floats:
        """The prediction for each row of shape (n, width), to the last bit what ``predict`` gives for it."""
        rows = np.ascontiguousarray(matrix, dtype=np.float64)
        if rows.ndim != 2 or rows.shape[1] != self.width:
            raise SchemaError(f"a matrix of shape {rows.shape} was given to a model of {self.width} features")
        if not np.isfinite(rows).all():
            self._refuse(rows)
        raw = self.form.raw_many(self.scaling(rows))
        if self.link == "identity":
            return raw
        return np.fromiter((self._linked(score) for score in raw.tolist()), np.float64, len(raw))

    def _linked(self, raw: float) -> float:
        if self.link == "identity":
            return raw
        if raw >= 0.0:
            return 1.0 / (1.0 + math.exp(-raw))
        power = math.exp(raw)
        return power / (1.0 + power)

    def _refuse(self, values: Floats) -> None:
        bad = np.isinf(values) if self.missing == "handled" else ~np.isfinite(values)
        if bad.any():
            at = np.argwhere(bad)[0]
            where = f"feature {at[-1]}" if len(at) == 1 else f"feature {at[1]} of row {at[0]}"
            raise SchemaError(
                f"{where} is {values[tuple(at)]}, which this model does not take; "
                "it was trained on complete rows, so wait until the features' lookback is filled"
            )

    def spec(self) -> tuple[dict[str, Any], dict[str, np.ndarray[Any, Any]]]:
        """The model as a value for JSON and named arrays; ``from_spec`` makes it again."""
        form, arrays = self.form.spec()
        names, operands = self.scaling.spec()
        spec = {
            "format": 1,
            "task": self.task,
            "width": self.width,
            "link": self.link,
            "missing": self.missing,
            "scaling": names,
            **form,
        }
        return spec, {**arrays, **operands}

    @classmethod
    def from_spec(cls, spec: dict[str, Any], arrays: Arrays) -> Compiled:
        """The model that ``spec`` described. SchemaError for anything that could not have come from there."""
        known = {"format": (1,), "task": TASKS, "link": ("identity", "logit"), "missing": ("refused", "handled")}
        for name, expected in known.items():
            if spec.get(name) not in expected:
                options = " or ".join(repr(value) for value in expected)
                raise SchemaError(f"the model's {name} is {spec.get(name)!r}, expected {options}")
        width = spec.get("width")
        if not isinstance(width, int) or isinstance(width, bool) or width < 1:
            raise SchemaError(f"the model's width is {width!r}, expected a number of features of at least 1")
        form = _FORMS.get(str(spec.get("form")))
        if form is None:
            raise SchemaError(f"the model's form is {spec.get('form')!r}, expected {' or '.join(_FORMS)}")
        return cls(
            task=spec["task"],
            width=width,
            form=form.from_spec(spec, arrays, width),
            scaling=Scaling.from_spec(spec.get("scaling"), arrays, width),
            link=spec["link"],
            missing=spec["missing"],
        )


def compile_pipeline(fitted: Any, task: Task) -> Compiled:
    """A fitted scikit-learn Pipeline, or a fitted estimator alone, as plain arrays.

    Linear models fold their scaling into the weights; trees keep it, since rounding decides at a
    threshold. DefinitionError for a step that is not known.
    """
    if task not in TASKS:
        raise DefinitionError(f"task {task!r} is not {' or '.join(TASKS)}")
    *transformers, estimator = pipeline_steps(fitted)
    width = getattr(fitted, "n_features_in_", None)
    if width is None:
        raise DefinitionError(f"the {type(estimator).__name__} has not been fitted, so it cannot be compiled")
    scaling = Scaling(tuple(operation for step in transformers for operation in scaling_steps(step)))
    found = parts(estimator, task, int(width))
    missing = "handled" if found.handles_missing or scaling.fills else "refused"
    form = found.form
    if isinstance(form, Linear) and scaling.linear:
        form, scaling = form.after(scaling), Scaling()
    return Compiled(task=task, width=int(width), form=form, scaling=scaling, link=found.link, missing=missing)


@attrs.frozen
class Parity:
    """How far a compiled model is from its estimator over so many rows."""

    rows: int
    max_difference: float
    flips: int

    def to_dict(self) -> dict[str, Any]:
        return attrs.asdict(self)


def parity(compiled: Compiled, fitted: Any, rows: Floats, name: str = "") -> Parity:
    """The comparison of a compiled model with its estimator on these rows, of shape (n, width).

    CheckFailed if a label differs, or a prediction by more than 1e-9 (of its size, if that is above one).
    """
    title = name or compiled.task
    if len(rows) == 0:
        raise CheckFailed(f"the {title} model has no rows to be compared on; pass some of the training rows")
    ours = compiled.predict_many(rows)
    theirs = _probabilities(fitted, rows) if compiled.task == "classification" else np.ravel(fitted.predict(rows))
    difference = np.abs(ours - theirs) / np.maximum(1.0, np.abs(theirs))
    worst = int(np.argmax(np.where(np.isnan(difference), np.inf, difference)))
    flips = _flips(ours, fitted, rows) if compiled.task == "classification" else []
    found = Parity(len(rows), float(difference[worst]), len(flips))
    if flips:
        raise CheckFailed(
            f"the compiled {title} model gives another label than its estimator on {len(flips)} of {len(rows)} rows, "
            f"first on row {flips[0]} with probability {ours[flips[0]]!r} against {theirs[flips[0]]!r}; nothing was saved"
        )
    if not found.max_difference <= TOLERANCE:
        raise CheckFailed(
            f"the compiled {title} model differs from its estimator by {found.max_difference:.3g} on row {worst} "
            f"({ours[worst]!r} against {theirs[worst]!r}), more than {TOLERANCE}; nothing was saved"
        )
    return found


def _probabilities(fitted: Any, rows: Floats) -> Floats:
    classes = [float(label) for label in fitted.classes_]
    if 1.0 not in classes:
        return np.zeros(len(rows))
    return np.asarray(fitted.predict_proba(rows)[:, classes.index(1.0)], dtype=np.float64)


def _flips(ours: Floats, fitted: Any, rows: Floats) -> list[int]:
    labels = np.asarray(fitted.predict(rows), dtype=np.float64)
    return [int(at) for at in np.flatnonzero((ours > 0.5) != (labels == 1.0))]
