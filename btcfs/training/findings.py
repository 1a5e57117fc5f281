"""What a tripwire found: fine, to be explained, or a leak, each with its reason."""

from __future__ import annotations

from typing import Any, Literal

import attrs


@attrs.frozen
class Finding:
    """One tripwire's answer. An ``alarm`` is a likely leak and rules out any verdict of skill; a ``warning`` asks for a look."""

    name: str
    level: Literal["ok", "warning", "alarm"]
    reason: str
    numbers: dict[str, float] = attrs.field(factory=dict)

    def to_dict(self) -> dict[str, Any]:
        return attrs.asdict(self)


def alarms(findings: tuple[Finding, ...] | list[Finding]) -> list[Finding]:
    """The findings that rule out a verdict of skill."""
    return [finding for finding in findings if finding.level == "alarm"]
