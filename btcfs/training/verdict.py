"""The verdict in words: no evidence of skill, weak evidence, or evidence; never more than that."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs

from btcfs.training.evaluation import Evaluation
from btcfs.training.findings import Finding, alarms
from btcfs.training.ledger import Deflated

NONE, WEAK, SOME = "no evidence of skill", "weak evidence", "evidence"


@attrs.frozen
class Verdict:
    """The words, and why these."""

    words: str
    reasons: tuple[str, ...]
    beats_baseline: bool

    def to_dict(self) -> dict[str, Any]:
        return attrs.asdict(self)


def judge(evaluation: Evaluation, findings: Sequence[Finding], deflated: Deflated | None = None) -> Verdict:
    """Judge a model against its strongest baseline and against knowing nothing.

    Evidence needs both: a difference to the strongest baseline that chance gives in less than 5 of
    100 cases without costing loss, and forecasts that go with outcomes as chance has them in less
    than 1 of 100; and for a direction, that the best of as many lucky tries would not do as well.
    Weak evidence needs scores above the strongest baseline's, and forecasts that chance has in less
    than 5 of 100 cases, or in less than 1 if they cost loss. An alarm leaves no evidence, whatever the scores.
    """
    better, beats, said = _margins(evaluation)
    reasons = [said, f"forecasts and outcomes as closely linked by chance in {evaluation.information:.2g} of cases"]
    leaks = alarms(list(findings))
    if leaks:
        return Verdict(NONE, tuple([*(f"{leak.name}: {leak.reason}" for leak in leaks), *reasons]), False)
    lucky = False
    if deflated is not None and evaluation.task == "classification":
        lucky = deflated.chance_best > 0.05
        reasons.append(deflated.text)
    if beats and evaluation.information < 0.01 and not lucky:
        return Verdict(SOME, tuple(reasons), True)
    limit = 0.05 if better else 0.01 if evaluation.strongest_is_beaten else 0.0
    if evaluation.information < limit:
        return Verdict(WEAK, tuple(reasons), False)
    return Verdict(NONE, tuple(reasons), False)


def _margins(evaluation: Evaluation) -> tuple[bool, bool, str]:
    """Whether the scores are better than the strongest baseline's, and by more than chance; and the sentence on it."""
    strongest = evaluation.strongest
    hits, loss = strongest.hit_difference, strongest.loss_difference
    if evaluation.task == "classification":
        least = min(evaluation.baselines, key=lambda b: b.loss)
        better = hits.value > 0 and least.loss_difference.value < 0
        text = (
            f"{hits.value:+.3f} accuracy against {strongest.name!r} (95 % {hits.low:+.3f} to {hits.high:+.3f}), "
            f"by chance {strongest.hit_chance:.2g}; log-loss {least.loss_difference.value:+.4f} against {least.name!r}"
        )
        return better, better and strongest.hit_chance < 0.05, text
    text = (
        f"squared error {loss.value:+.4f} against {strongest.name!r} (95 % {loss.low:+.4f} to {loss.high:+.4f}), "
        f"by chance {strongest.loss_chance:.2g}"
    )
    return loss.value < 0, loss.value < 0 and strongest.loss_chance < 0.05, text
