"""Putting models to the test on one training set: scores, importance and tripwires."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import attrs

from btcfs.models import ModelKind
from btcfs.training.datasets import TrainingSet
from btcfs.training.evaluation import Evaluation, evaluate
from btcfs.training.feature_leaks import feature_findings
from btcfs.training.findings import Finding
from btcfs.training.importance import permutation_importance
from btcfs.training.label_leaks import label_findings
from btcfs.training.splits import Split
from btcfs.training.tripwires import run_findings, score_findings
from btcfs.training.walk import Task, walk


@attrs.frozen(eq=False)
class Assessment:
    """One model's evaluation, the features it leans on, and what the tripwires found."""

    evaluation: Evaluation
    importance: list[dict[str, object]]
    findings: tuple[Finding, ...]


def assess(
    data: TrainingSet,
    model: ModelKind,
    split: Split,
    *,
    parameters: Mapping[str, object] | None = None,
    seed: int = 0,
    progress: Callable[[int], None] | None = None,
) -> Assessment:
    """Walk the model forward over the split's folds; the holdout is not touched.

    ``parameters`` go to the model's ``build``. Runs that shuffle, permute and delay belong to classification.
    ``progress`` is told of each model that is about to be fitted, in folds and in those runs.
    """

    def build() -> object:
        if progress is not None:
            progress(1)
        return model.estimator(data.features, **(parameters or {}))

    task: Task = model.task
    target = data.direction if task == "classification" else data.change
    development = data.until(int(split.holdout.test[0]))
    before = [*label_findings(data, development), *feature_findings(data, development, build)]
    run = walk(build, data.X, target, split.folds, task)
    evaluation = evaluate(data, run, split.folds, model.name, seed=seed)
    after = score_findings(evaluation)
    if task == "classification":
        after += run_findings(data, build, split, seed=seed)
    importance = permutation_importance(run, data.X, target, split.folds, data.features, seed=seed)
    return Assessment(evaluation, importance, (*before, *after))
