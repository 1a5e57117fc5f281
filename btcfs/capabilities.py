"""What each backend declares that it can do, without opening a store; and the table that shows it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from btcfs.store import Capability

NEEDED_BY = {
    Capability.WRITE: "`apply`, `write`",
    Capability.SCAN: "`read`",
    Capability.ONLINE: "`get_online_features`",
    Capability.TIME_TRAVEL: "`as_of`, `commits`, `changes`, `write` with a `commit`",
    Capability.DELETE: "`delete`",
}

Declared = Mapping[str, bool | str]


def declared(connect: Callable[..., Any]) -> Declared | None:
    """For each capability whether the backend of this connect function has it, or a text that says when.

    From ``CAPABILITIES`` in the function's module, for a backend whose stores differ; else from the
    ``capabilities`` of the class that the function returns by its annotation. None if there is neither.
    """
    module = sys.modules[connect.__module__]
    stated = getattr(module, "CAPABILITIES", None)
    if isinstance(stated, Mapping):
        return {capability.value: stated.get(capability.value, False) for capability in Capability}
    returned = connect.__annotations__.get("return")
    kind = getattr(module, returned, None) if isinstance(returned, str) and returned.isidentifier() else returned
    held = getattr(kind, "capabilities", None)
    if not isinstance(held, frozenset):
        return None
    return {capability.value: capability in held for capability in Capability}


def markdown(backends: Sequence[tuple[str, Declared | None]]) -> str:
    """The capabilities of these backends as a table for documentation, one column each."""
    names = [name for name, _ in backends]
    lines = [f"| capability | what needs it | {' | '.join(names)} |", "|---" * (2 + len(names)) + "|"]
    for capability in Capability:
        cells = [cell(None if given is None else given[capability.value]) for _, given in backends]
        lines.append(f"| `{capability.value}` | {NEEDED_BY[capability]} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def cell(value: bool | str | None) -> str:
    """What a table says of one capability."""
    if value is None:
        return "when opened"
    return value if isinstance(value, str) else "yes" if value else "no"
