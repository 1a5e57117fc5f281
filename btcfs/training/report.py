"""The report of one training: what was learned from what, how well, and in which words that may be said."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import attrs

from btcfs.training.evaluation import Evaluation
from btcfs.training.findings import Finding, alarms
from btcfs.training.ledger import Deflated
from btcfs.training.verdict import Verdict


@attrs.frozen(eq=False)
class TaskReport:
    """One of the two models: what it is, its walk-forward scores, and its holdout's if that was opened."""

    model: str
    evaluation: Evaluation
    verdict: Verdict
    deflated: Deflated
    importance: list[dict[str, Any]]
    holdout: Evaluation | None = None


@attrs.frozen(eq=False)
class TrainingReport:
    """All of a training. Rates are shares, changes in percent, instants UTC; ``tasks`` by task.

    ``bundle`` is the folder of the saved models, None before they are saved; a new version is always
    a ``candidate``; ``obstacles`` are what stands between it and activation. ``base_rates`` has the share of ups in each year of the training set.
    ``restated`` is how often a stored row of the view's first group was changed later, None if the store cannot say.
    """

    version: str
    market: str
    backend: str
    training_set: str
    rows: int
    features: tuple[str, ...]
    provenance: Mapping[str, Any]
    label: Mapping[str, Any]
    base_rates: Mapping[str, float]
    split: Mapping[str, Any]
    test_size: float
    pipelines: Mapping[str, str]
    tasks: Mapping[str, TaskReport]
    findings: tuple[Finding, ...]
    openings: int | None
    seed: int
    versions: Mapping[str, str]
    seconds: float
    status: str = "candidate"
    checks: list[dict[str, Any]] = attrs.field(factory=list)
    obstacles: list[str] = attrs.field(factory=list)
    bundle: Path | None = None
    dataset: Path | None = None
    restated: int | None = None

    @cached_property
    def alarms(self) -> list[Finding]:
        """The tripwires that rule out a verdict of skill."""
        return alarms(self.findings)

    @property
    def verdicts(self) -> dict[str, str]:
        """The words of the verdict, by task."""
        return {task: part.verdict.words for task, part in self.tasks.items()}

    @property
    def metrics(self) -> dict[str, Any]:
        """What an activation asks of a version: by task the scores, the strongest baseline and the verdict."""
        found: dict[str, Any] = {}
        for task, part in self.tasks.items():
            strongest = part.evaluation.strongest
            found[task] = {
                **part.evaluation.metrics,
                "rows": part.evaluation.rows,
                "baseline": strongest.name,
                "baseline_score": strongest.score.value,
                "beats_baseline": part.verdict.beats_baseline,
                "verdict": part.verdict.words,
                "reasons": list(part.verdict.reasons),
                "alarms": [finding.name for finding in self.alarms],
            }
        content: dict[str, Any] = plain(found)
        return content

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON values; a number that is undefined is null."""
        content = {field.name: getattr(self, field.name) for field in attrs.fields(TrainingReport)}
        plainly: dict[str, Any] = plain({**content, "verdicts": self.verdicts})
        return plainly

    def json(self) -> str:
        return json.dumps(self.to_dict(), indent=2, allow_nan=False)

    def text(self) -> str:
        from btcfs.training.report_text import lines

        return "\n".join(lines(self)) + "\n"

    def html(self) -> str:
        from btcfs.training.report_html import page

        return page(self)


def plain(value: Any) -> Any:
    """Nested values as JSON knows them."""
    if hasattr(value, "to_dict"):
        return plain(value.to_dict())
    if attrs.has(type(value)):
        return plain({field.name: getattr(value, field.name) for field in attrs.fields(type(value))})
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(item) for item in value]
    if isinstance(value, (datetime, date)):
        return value.isoformat()
    if isinstance(value, Path):
        return value.as_posix()
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float) and value - value != 0.0:
        return None
    return value
