"""The beginning of a training's report: the data, the split, the models and the software."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from importlib import metadata
from typing import Any

import numpy as np

from btcfs import catalogue
from btcfs.store import FeatureStore
from btcfs.training.compiled_sklearn import pipeline_steps
from btcfs.training.datasets import TrainingSet
from btcfs.training.evaluation import years
from btcfs.training.findings import Finding
from btcfs.training.report import TrainingReport
from btcfs.training.restated import restated_rows
from btcfs.training.splits import Split
from btcfs.training.walk import Task

_SOFTWARE = ("btcfs", "numpy", "scikit-learn")


def begun(
    store: FeatureStore,
    data: TrainingSet,
    split: Split,
    estimators: Mapping[Task, Any],
    *,
    version: str,
    test_size: float,
    seed: int,
) -> TrainingReport:
    """The report before any score: what is trained, from what, split how."""
    year = years(data.event_times)
    group = catalogue.find_group(store.definitions(), *data.view.groups[0])
    place = data.provenance["query"]["entity"].values()
    return TrainingReport(
        version=version,
        market=" ".join([*place, group.interval or ""]).strip(),
        backend=store.name,
        training_set=data.hash,
        rows=len(data),
        features=data.features,
        provenance=data.provenance,
        label=data.label.to_dict(),
        base_rates={str(y): float(data.direction[year == y].mean()) for y in np.unique(year)},
        split=split.describe(data.event_times),
        test_size=test_size,
        pipelines={task: _described(estimator) for task, estimator in estimators.items()},
        tasks={},
        findings=_fallback(data),
        openings=None,
        seed=seed,
        versions=_software(),
        seconds=0.0,
        restated=restated_rows(store, group),
    )


def _fallback(data: TrainingSet) -> tuple[Finding, ...]:
    """A warning if the rows are not those of the store that was asked."""
    known = data.provenance
    if known.get("fallback_reason") is None:
        return ()
    fresh = known.get("freshness") or "a time that it does not keep"
    said = f"rows of {known['feature_source']}, last written {fresh}, for {known['fallback_reason']}"
    return (Finding("trained on a fallback", "warning", said),)


def _described(estimator: Any) -> str:
    """The names of an estimator's steps, in order."""
    return " → ".join(type(step).__name__ for step in pipeline_steps(estimator))


def _software() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in _SOFTWARE:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
