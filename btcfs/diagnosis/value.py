"""The answer of one check."""

from __future__ import annotations

from typing import Any

import attrs


@attrs.frozen
class Diagnosis:
    """One check: ``passed`` is None if it cannot be said, or is worth a look but no failure.

    ``remedy`` is what to do about it, empty where nothing is to be done.
    """

    name: str
    passed: bool | None
    message: str
    remedy: str = ""

    def to_dict(self) -> dict[str, Any]:
        return attrs.asdict(self)
