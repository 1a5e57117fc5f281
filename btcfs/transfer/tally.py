"""What a shadow counted: how often both stores agreed, and where they did not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from threading import Lock
from typing import Any

import attrs

from btcfs.instants import now

EXAMPLES = 5  # kept of each feature, and of each kind of trouble


@attrs.define
class Outcome:
    """One feature of one view or group: values compared, disagreements, the largest, and the first few of them."""

    compared: int = 0
    disagreed: int = 0
    largest: float | None = None
    examples: list[dict[str, Any]] = attrs.field(factory=list)

    def to_dict(self) -> dict[str, Any]:
        return attrs.asdict(self)


class Tally:
    """The counts of one shadow; several threads may add to it.

    ``reads`` counts the primary's answers by what became of them: ``compared``, ``dropped`` because the
    queue was full, ``failed`` because the shadow raised, ``ahead`` or ``behind`` because it answered from a
    newer or older row, ``missing`` where only the primary has the key, ``extra`` where only the shadow has it.
    """

    def __init__(self, primary: str, shadow: str) -> None:
        self.primary = primary
        self.shadow = shadow
        self.since = now()
        self.reads: Counter[str] = Counter()
        self._outcomes: dict[tuple[str, str], Outcome] = {}
        self._trouble: dict[str, list[dict[str, Any]]] = {}
        self._seconds = {"primary": 0.0, "shadow": 0.0}
        self._timed = 0
        self._lock = Lock()

    def count(self, kind: str, example: Mapping[str, Any] | None = None) -> None:
        """One more read that ended so."""
        with self._lock:
            self.reads[kind] += 1
            kept = self._trouble.setdefault(kind, [])
            if example is not None and len(kept) < EXAMPLES:
                kept.append(dict(example))

    def took(self, primary: float, shadow: float) -> None:
        """The seconds that one read took on each side."""
        with self._lock:
            self._seconds["primary"] += primary
            self._seconds["shadow"] += shadow
            self._timed += 1

    def add(
        self, where: str, feature: str, compared: int, disagreed: int = 0, largest: float | None = None,
        example: Mapping[str, Any] | None = None,
    ) -> None:  # fmt: skip
        """So many values of a feature were compared, and so many disagreed."""
        with self._lock:
            outcome = self._outcomes.setdefault((where, feature), Outcome())
            outcome.compared += compared
            outcome.disagreed += disagreed
            if largest is not None:
                outcome.largest = largest if outcome.largest is None else max(largest, outcome.largest)
            if example is not None and len(outcome.examples) < EXAMPLES:
                outcome.examples.append(dict(example))

    @property
    def disagreements(self) -> dict[tuple[str, str], int]:
        """How often each (view or group, feature) disagreed, where it did at all."""
        with self._lock:
            return {place: outcome.disagreed for place, outcome in self._outcomes.items() if outcome.disagreed}

    @property
    def agrees(self) -> bool:
        """Whether something was compared, and nothing was found that differs, lacks or fails."""
        with self._lock:
            troubled = any(self.reads[kind] for kind in ("failed", "missing", "extra"))
            return self.reads["compared"] > 0 and not troubled and not any(o.disagreed for o in self._outcomes.values())

    def to_dict(self) -> dict[str, Any]:
        """All of it, for JSON; times of a read are means in milliseconds."""
        agrees = self.agrees
        with self._lock:
            reads = self._timed
            return {
                "primary": self.primary,
                "shadow": self.shadow,
                "since": _iso(self.since),
                "until": _iso(now()),
                "agrees": agrees,
                "reads": dict(self.reads),
                "mean_ms": {side: 1000 * seconds / reads if reads else None for side, seconds in self._seconds.items()},
                "features": [
                    {"where": where, "feature": feature, **outcome.to_dict()}
                    for (where, feature), outcome in sorted(self._outcomes.items())
                ],
                "examples": {kind: list(kept) for kind, kept in self._trouble.items() if kept},
            }


def _iso(time: datetime) -> str:
    return time.isoformat(timespec="seconds")
