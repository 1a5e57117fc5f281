"""The training report as lines of text: the seven steps, and below them what they mean."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from btcfs.training import report_words as words
from btcfs.training.evaluation import Evaluation
from btcfs.training.intervals import Interval, smallest_edge
from btcfs.training.report import TaskReport, TrainingReport

RULE = "=" * 68
_TITLES = {"classification": ("4. Training Classification Model (Price Direction)", "Classification"),
           "regression": ("5. Training Regression Model (Price Change)", "Regression")}  # fmt: skip
_SHOWN = {
    "classification": ("accuracy", "f1", "precision", "recall", "auc", "log_loss"),
    "regression": ("rmse", "mae", "r2", "sign_accuracy"),
}


def lines(report: TrainingReport) -> list[str]:
    """The whole report."""
    found = [*heading(report.version, report.backend), *loaded(report), *split(report), *scaling(report)]
    for task in ("classification", "regression"):
        found += scores(task, report.tasks[task])
    found += saved(report)
    found += manifest(report)
    return [*found, *conclusion(report)]


def heading(version: str, backend: str) -> list[str]:
    return ["MODEL TRAINING WITH FEATURE STORE", RULE, "", f"Model Version: {version}", f"Feature Store: {backend}"]


def loaded(report: TrainingReport) -> list[str]:
    known = report.provenance
    return [
        "",
        f"1. Loading features from {words.source(report)}...",
        f"   ✓ Loaded {report.rows:,} samples with {len(report.features)} features from feature store",
        f"     {report.market}, closed candles known from {_day(known['first_event_time'])} to {_day(known['last_event_time'])}",
        f"     As of: {words.snapshot(report)}",
        f"     Left out: {words.left_out(report)}",
        f"     Restated: {words.restated(report)}",
        f"     Label: {words.label(report.label)}",
        f"     Ups by year: {', '.join(f'{year} {rate:.3f}' for year, rate in report.base_rates.items())}",
        f"     Training set: {report.training_set}",
    ]


def split(report: TrainingReport) -> list[str]:
    folds, holdout = report.split["folds"], report.split["holdout"]
    tested = sum(fold["test"]["rows"] for fold in folds)
    apart = sum(fold["purged"] + fold["embargoed"] for fold in folds)
    opened = "" if report.openings is None else f", {words.opened(report)}"
    return [
        "",
        f"2. Splitting data (test size: {report.test_size:g})...",
        f"   ✓ Train: {holdout['train']['rows']:,} samples, walked forward in {len(folds)} folds: first {folds[0]['train']['rows']:,} to learn from, {tested:,} to predict",
        f"   ✓ Test: {holdout['test']['rows']:,} samples, sealed{opened}",
        f"     So many rows tell a hit rate from 0.5 if it is {smallest_edge(holdout['test']['rows'], 0.5):.3f} or more (one-sided 5 %, power 80 %)",
        f"     Purged and embargoed between training and test: {apart:,} rows in the folds, {holdout['purged'] + holdout['embargoed']:,} before the sealed test; embargo {words.duration(report.split['embargo_seconds'])}",
    ]


def scaling(report: TrainingReport) -> list[str]:
    return [
        "",
        "3. Scaling features...",
        "   ✓ Whatever is scaled is scaled inside each model, on the training rows of each fold alone",
        *(f"     {task}: {pipeline}" for task, pipeline in report.pipelines.items()),
    ]


def scores(task: str, part: TaskReport) -> list[str]:
    title, name = _TITLES[task]
    found = [
        "",
        f"{title}...",
        f"   ✓ {name} Metrics of {part.model}, walked forward over {part.evaluation.rows:,} rows:",
    ]
    found += _numbers(part.evaluation)
    found += [f"     {line}" for line in _table(part.evaluation)]
    found += [f"     {part.evaluation.power['text']}", f"     Verdict: {part.verdict.words}"]
    if part.holdout is not None:
        found += [f"   ✓ {name} Metrics on the {part.holdout.rows:,} rows that were sealed:", *_numbers(part.holdout)]
    return found


def saved(report: TrainingReport) -> list[str]:
    where = "not saved" if report.bundle is None else report.bundle.as_posix()
    if report.bundle is None:
        return ["", "6. Saving models...", f"   ✗ {where}"]
    return [
        "",
        "6. Saving models...",
        "   ✓ Saved classification model",
        "   ✓ Saved regression model",
        "   ✓ Saved scaler (inside both models)",
        "   ✓ Saved feature columns",
        "   ✓ Saved metadata",
        f"     {where}",
    ]


def manifest(report: TrainingReport) -> list[str]:
    if report.bundle is None:
        return ["", "7. Updating model manifest...", "   ✗ nothing to add"]
    return [
        "",
        "7. Updating model manifest...",
        "   ✓ Updated manifest",
        f"   ✓ {report.version} is a {report.status}; activate it with: btcfs models activate {report.version}",
        *(f"   ! in the way: {obstacle}" for obstacle in report.obstacles),
    ]


def conclusion(report: TrainingReport) -> list[str]:
    found = ["", "✓ TRAINING COMPLETE", RULE, "", "Tripwires"]
    marks = {"ok": "✓", "warning": "!", "alarm": "✗"}
    found += [f"   {marks[finding.level]} {finding.name}: {finding.reason}" for finding in report.findings]
    found += ["", f"Features of {words.features(report)}"]
    for task, part in report.tasks.items():
        found += ["", f"{task.capitalize()} with {part.model}: {part.verdict.words}"]
        found += [f"   {reason}" for reason in part.verdict.reasons]
        found += ["   by year: " + ", ".join(_group(row, "year") for row in part.evaluation.by_year)]
        top = [f"{' / '.join(row['features'][:3])} {row['rise']:+.4f}" for row in part.importance[:5]]
        found += [f"   leans on: {', '.join(top)}"]
    software = ", ".join(f"{name} {version}" for name, version in report.versions.items())
    return [*found, "", f"Seed {report.seed}, {report.seconds:.1f} s, {software}"]


def _numbers(evaluation: Evaluation) -> Iterator[str]:
    for name in _SHOWN[evaluation.task]:
        title, unit = words.SCORES[name]
        value = f"{evaluation.metrics[name]:.4f}{' ' + unit if unit else ''}"
        yield f"     {title + ':':<11}{value}{_between(evaluation.intervals.get(name))}"


def _table(evaluation: Evaluation) -> Iterator[str]:
    what = words.SCORES[words.SCORE[evaluation.task]][0]
    yield f"Against what needs no model ({what}; difference in hits with 95 % interval):"
    for b in evaluation.baselines:
        d = b.hit_difference
        yield f"  {b.name:<22}{b.score.value:.4f}  {d.value:+.4f} ({d.low:+.4f} to {d.high:+.4f})"


def _between(interval: Interval | None) -> str:
    return "" if interval is None else f"  (95 % {interval.low:.4f} to {interval.high:.4f})"


def _group(row: dict[str, Any], name: str) -> str:
    return f"{row[name]} {row['hit_rate']['value']:.3f} of {row['rows']}"


def _day(instant: str) -> str:
    return instant[:16].replace("T00:00", "")
