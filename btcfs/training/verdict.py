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
    """Judge a model against its strongest baseline.

    Evidence needs a difference whose 95 % interval lies above 0, a smaller loss that is unlikely by
    chance (2.5 %), and no luck among the trials (5 %). Weak evidence needs one of the first two and
    the other not against it. An alarm leaves no evidence, whatever the scores.
    """
    strongest = evaluation.strongest
    hits_better, loss_better, said = _margins(evaluation)
    beats = hits_better and loss_better
    reasons = [said]
    leaks = alarms(list(findings))
    if leaks:
        reasons.insert(0, f"{leaks[0].name}: {leaks[0].reason}")
        return Verdict(NONE, tuple(reasons), False)
    lucky = deflated is not None and evaluation.task == "classification" and deflated.chance_best > 0.05
    if deflated is not None and evaluation.task == "classification":
        reasons.append(deflated.text)
    if beats and not lucky:
        return Verdict(SOME, tuple(reasons), True)
    supported = strongest.hit_difference.value > 0 and strongest.loss_difference.value < 0
    if beats or ((hits_better or loss_better) and supported and not lucky):
        return Verdict(WEAK, tuple(reasons), beats)
    return Verdict(NONE, tuple(reasons), False)


def _margins(evaluation: Evaluation) -> tuple[bool, bool, str]:
    strongest = evaluation.strongest
    if evaluation.task == "classification":
        least = min(evaluation.baselines, key=lambda b: b.loss)
        difference = strongest.hit_difference
        text = (
            f"{difference.value:+.3f} accuracy against {strongest.name!r} (95 % {difference.low:+.3f} to {difference.high:+.3f}); "
            f"log-loss {least.loss_difference.value:+.4f} against {least.name!r}, by chance {least.chance:.2g}"
        )
        return difference.low > 0, least.chance < 0.025, text
    loss = strongest.loss_difference
    text = (
        f"squared error {loss.value:+.4f} against {strongest.name!r} (95 % {loss.low:+.4f} to {loss.high:+.4f}), "
        f"by chance {strongest.chance:.2g}"
    )
    return loss.high < 0, strongest.chance < 0.025, text
