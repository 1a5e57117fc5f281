"""Training: from a stored view to an honestly judged candidate version."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import attrs
import numpy as np

from btcfs.definitions import FeatureView, Label
from btcfs.errors import StoreUnavailable
from btcfs.instants import now as present
from btcfs.models import ModelKind
from btcfs.plugins import Plugins, installed_plugins
from btcfs.store import FeatureStore
from btcfs.training import ledger, report_text
from btcfs.training.activation_checks import Certify, failed, gate_checks
from btcfs.training.assessment import assess
from btcfs.training.bundle import check_version, save_bundle
from btcfs.training.choice import DEFAULT_MODEL, TASKS, chosen_models
from btcfs.training.dataset_files import write_training_set
from btcfs.training.datasets import TrainingSet, materialise, training_view
from btcfs.training.evaluation import Evaluation, evaluate
from btcfs.training.findings import Finding
from btcfs.training.labels import Integers
from btcfs.training.report import TaskReport, TrainingReport
from btcfs.training.report_start import begun
from btcfs.training.splits import Split, walk_forward
from btcfs.training.verdict import judge
from btcfs.training.version_names import reserved_version
from btcfs.training.walk import Task, Walk, fit, predict

PARITY_ROWS = 2000

Listener = Callable[[Sequence[str]], None]
Save = Callable[..., Any]


def _silent(lines: Sequence[str]) -> None:
    """Nobody listens."""


def train(
    store: FeatureStore,
    *,
    view: FeatureView | str | None = None,
    label: Label | None = None,
    horizon: int | None = None,
    entity: Mapping[str, str] | None = None,
    start: datetime | None = None,
    end: datetime | None = None,
    as_of: datetime | None = None,
    model: str | Sequence[str] = DEFAULT_MODEL,
    models: Mapping[Task, ModelKind] | None = None,
    models_dir: str | Path = "models",
    model_version: str | None = None,
    test_size: float = 0.1,
    folds: int = 10,
    seed: int = 0,
    open_holdout: bool = False,
    allow_fallback: bool = False,
    plugins: Plugins | None = None,
    certify: Certify | None = None,
    save: Save = save_bundle,
    notify: Listener = _silent,
    progress: Callable[[int], None] | None = None,
) -> TrainingReport:
    """Train a classifier of direction and a regressor of change, judge both, and save them as a candidate.

    The last ``test_size`` of the rows stays sealed: no fold and no fit sees it, and it is scored only
    with ``open_holdout``, which the ledger keeps. Everything before it is walked forward in ``folds``.
    ``model`` names an installed model, or one for each task; ``models`` gives them as objects.
    ``start``, ``end`` bound the event times of the rows, ``as_of`` the knowledge. ``model_version`` is
    the version's name, such as ``v20251206T120000Z``; by default the present second's. The models saved
    were fitted on the rows before the sealed ones. ``certify`` gives the findings on an indicator; by
    default it is the indicator kit's where this is called as ``btcfs.train``, and without one the gate
    lacks that check. Nothing is activated. ``notify`` is given the lines of the report as they come, ``progress`` how many
    more models are about to be fitted.

    NotFound for a view, model or price that is not there; InsufficientHistory for too few rows;
    DefinitionError for a version that exists; StoreUnavailable if only a mirror answered, unless
    ``allow_fallback``: then report and version say why, and how fresh its rows are.
    """
    began = time.perf_counter()
    wanted = None if model_version is None else check_version(model_version)
    chosen_view = training_view(store, view)
    known = plugins or installed_plugins()
    chosen = dict(models) if models is not None else chosen_models(known, model)
    data = materialise(
        store, chosen_view, label=_label(chosen_view, label, horizon), entity=entity, start=start, end=end, as_of=as_of
    )
    _refuse_fallback(data, allow_fallback)
    split = walk_forward(data.event_times, data.known_at, test_size=test_size, folds=folds)
    # An unfitted model says what it is made of; one that cannot be built fails before anything is written.
    made = {task: chosen[task].estimator(data.features) for task in TASKS}
    job = _Job(data, split, chosen, Path(models_dir), notify, progress)
    with reserved_version(models_dir, wanted) as name:
        report = begun(store, data, split, made, version=name, test_size=test_size, seed=seed)
        report, fitted = _judged(job, report, open_holdout)
        checks = gate_checks(store, data, report.tasks, known, certify)
        report = attrs.evolve(
            report,
            checks=[check.to_dict() for check in checks],
            obstacles=failed(checks),
            seconds=time.perf_counter() - began,
        )
        report = _saved(job, report, fitted, save)
    notify(report_text.saved(report) + report_text.manifest(report) + report_text.conclusion(report))
    return report


@attrs.frozen(eq=False)
class _Job:
    """What one training works with, and whom it tells."""

    data: TrainingSet
    split: Split
    chosen: Mapping[Task, ModelKind]
    models_dir: Path
    notify: Listener
    progress: Callable[[int], None] | None


def _judged(job: _Job, report: TrainingReport, open_holdout: bool) -> tuple[TrainingReport, dict[Task, Any]]:
    """The report with the verdict of each task, and the models fitted on all that came before the sealed rows."""
    report = attrs.evolve(report, dataset=write_training_set(job.data, job.models_dir, report.split))
    job.notify(report_text.heading(report.version, report.backend) + report_text.loaded(report))
    fitted = {task: _fitted(job, task) for task in TASKS}
    opened: Mapping[Task, Evaluation] = {}
    if open_holdout:
        times, opened = _open(job, report, fitted)
        report = attrs.evolve(report, openings=times)
    job.notify(report_text.split(report) + report_text.scaling(report))
    for task in TASKS:
        report = _with_task(job, report, task, opened.get(task))
        job.notify(report_text.scores(task, report.tasks[task]))
    return report, fitted


def _label(view: FeatureView, label: Label | None, horizon: int | None) -> Label | None:
    chosen = label or view.label
    return chosen if horizon is None else attrs.evolve(chosen or Label(), horizon=horizon)


def _refuse_fallback(data: TrainingSet, allowed: bool) -> None:
    reason = data.provenance.get("fallback_reason")
    if reason is not None and not allowed:
        raise StoreUnavailable(
            f"the rows to train on came from {data.provenance['feature_source']}, for {reason}; try again later, or train on "
            f"them all the same with btcfs train --allow-fallback, and the version says so"
        )


def _fitted(job: _Job, task: Task) -> Any:
    kind, data, rows = job.chosen[task], job.data, job.split.holdout.train
    target = data.direction if task == "classification" else data.change
    return fit(lambda: kind.estimator(data.features), data.X[rows], target[rows], task)


def _open(job: _Job, report: TrainingReport, fitted: Mapping[Task, Any]) -> tuple[int, dict[Task, Evaluation]]:
    """How often this holdout was opened before, and the saved models' scores on it; both are written down first."""
    scored = {task: _opened(job, task, fitted[task], report.seed) for task in TASKS}
    rows = job.split.holdout.test
    trials = [_trial(job, report, "holdout", task, rows, scored[task].wilson.value) for task in TASKS]
    before = ledger.read_trials(job.models_dir)
    ledger.record(job.models_dir, trials)
    return ledger.openings(before, trials[0]), scored


def _opened(job: _Job, task: Task, estimator: Any, seed: int) -> Evaluation:
    """The saved model's score on the rows that were sealed."""
    holdout = job.split.holdout
    forecast = predict(estimator, job.data.X[holdout.test], task)
    run = Walk(task, holdout.test, np.zeros(len(holdout.test), dtype=np.int64), forecast, np.nan, (estimator,))
    return evaluate(job.data, run, [holdout], job.chosen[task].name, seed=seed)


def _with_task(job: _Job, report: TrainingReport, task: Task, opened: Evaluation | None) -> TrainingReport:
    """The report with this task's model put to the test, its trial written down and its verdict found."""
    assessed = assess(job.data, job.chosen[task], job.split, seed=report.seed, progress=job.progress)
    trial = _trial(job, report, "walk-forward", task, job.split.tested, assessed.evaluation.wilson.value)
    before = ledger.read_trials(job.models_dir)
    ledger.record(job.models_dir, [trial])
    deflated = ledger.deflate([t for t in before if t.kind == "walk-forward"], trial)
    findings = (*assessed.findings, _shopping(ledger.shopped(before, trial)))
    verdict = judge(assessed.evaluation, findings, deflated)
    name = job.chosen[task].name
    part = TaskReport(name, assessed.evaluation, verdict, deflated, assessed.importance, opened)
    known = {finding.name for finding in report.findings}
    added = tuple(finding for finding in findings if finding.name not in known)
    return attrs.evolve(report, tasks={**report.tasks, task: part}, findings=(*report.findings, *added))


def _trial(
    job: _Job, report: TrainingReport, kind: Literal["walk-forward", "holdout"], task: Task, rows: Integers, rate: float
) -> ledger.Trial:
    data = job.data
    least = data.label.threshold if task == "classification" else 0.0
    return ledger.Trial(
        version=report.version,
        made_at=present().isoformat(),
        kind=kind,
        task=task,
        model=job.chosen[task].name,
        market=report.market,
        label=data.label.name,
        training_set=report.training_set,
        start=int(data.event_times[rows[0]]),
        end=int(data.event_times[rows[-1]]),
        newest=str(report.provenance["newest_stored"]),
        rows=len(rows),
        hits=round(rate * len(rows)),
        base_rate=float((data.change[rows] > least).mean()),
    )


def _shopping(reason: str | None) -> Finding:
    if reason is None:
        return Finding("test-window shopping", "ok", "the ledger knows of no choice among test periods")
    return Finding("test-window shopping", "alarm", reason)


def _saved(job: _Job, report: TrainingReport, fitted: Mapping[Task, Any], save: Save) -> TrainingReport:
    """The report with its bundle; the reports inside it are those of a version that is saved."""
    complete = attrs.evolve(report, bundle=job.models_dir / report.version)
    metadata = {
        "market": report.market,
        "training_set": report.training_set,
        "provenance": report.to_dict()["provenance"],
        "split": report.split,
        "seed": report.seed,
        "models": {task: part.model for task, part in report.tasks.items()},
        "findings": [finding.to_dict() for finding in report.findings],
        "checks": list(report.checks),
    }
    bundle = save(
        job.models_dir,
        estimators=dict(fitted),
        view=job.data.view,
        label=job.data.label,
        parity_rows=job.data.X[-PARITY_ROWS:],
        metadata=metadata,
        metrics=complete.metrics,
        reports={"report.txt": complete.text(), "report.json": complete.json(), "report.html": complete.html()},
        version=report.version,
    )
    return attrs.evolve(complete, bundle=Path(bundle.path))
