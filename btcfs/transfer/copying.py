"""Copying one store into another, piece by piece: read, written, read back, compared, noted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import attrs

from btcfs.store import FeatureStore
from btcfs.transfer.journal import Journal
from btcfs.transfer.moving import GroupCopy, Moving
from btcfs.transfer.pieces import ROWS
from btcfs.transfer.plan import CopyPlan, planned
from btcfs.transfer.selection import selected


def _ignore(rows: int) -> None:
    pass


@attrs.frozen
class CopyReport:
    """A copy that came to its end. ``skipped`` of a group counts commits or pieces that were there already."""

    plan: CopyPlan
    groups: tuple[GroupCopy, ...]
    applied: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def rows(self) -> int:
        return sum(group.rows for group in self.groups)

    def to_dict(self) -> dict[str, Any]:
        return {
            "source": self.plan.source,
            "target": self.plan.target,
            "knowledge_time": self.plan.history,
            "definitions": list(self.applied),
            "groups": [group.to_dict() for group in self.groups],
            "rows": self.rows,
            "notes": list(self.notes),
        }


def plan_copy(
    source: FeatureStore, target: FeatureStore, groups: Sequence[str] = (), *, journal: str | Path | None = None,
    size: int = ROWS, names: tuple[str, str] | None = None,
) -> CopyPlan:  # fmt: skip
    """What ``copy_store`` with these arguments would do. It reads, and refuses what the copy would refuse."""
    path = Path(journal) if journal is not None and Path(journal).exists() else None
    with Journal(path, _identity(source, target, groups, names)) as opened:
        return planned(source, target, selected(source.definitions(), groups), opened, size=size)


def copy_store(
    source: FeatureStore,
    target: FeatureStore,
    groups: Sequence[str] = (),
    *,
    journal: str | Path | None = None,
    size: int = ROWS,
    names: tuple[str, str] | None = None,
    begun: Callable[[CopyPlan], None] | None = None,
    progress: Callable[[int], None] = _ignore,
) -> CopyReport:
    """Copy definitions and rows, every version of them with its knowledge time where both sides keep it.

    ``groups`` are names as in ``btcfs.transfer.selection.selected``. With ``journal``, a file, a copy that was
    stopped at any moment goes on where it was, and one that was finished copies what is new. ``size`` is
    the rows held in memory at a time. ``names`` tell the two places apart in the journal; ``begun`` is
    called with the plan and ``progress`` with rows done.

    Nothing is written if the plan is refused; see ``planned``. CheckFailed if what was written does not read
    back bit for bit. StoreBusy if the target's other writers do not finish; they wait until the copy ends.
    """
    path = None if journal is None else Path(journal)
    with Journal(path, _identity(source, target, groups, names)) as opened, target.exclusive():
        plan = planned(source, target, selected(source.definitions(), groups), opened, size=size)
        if begun is not None:
            begun(plan)
        with ThreadPoolExecutor(2, thread_name_prefix="btcfs-copy") as pool:  # one reads, one reads back
            moving = Moving(source, target, plan, opened, size, pool, progress)
            moving.run(everything=not groups)
        applied = tuple(definition.title for definition in plan.definitions)
        return CopyReport(plan, tuple(moving.done.values()), applied, tuple(moving.notes))


def _identity(
    source: FeatureStore, target: FeatureStore, groups: Sequence[str], names: tuple[str, str] | None
) -> dict[str, Any]:
    """What makes this copy the one that a journal is of."""
    one, other = names or (source.name, target.name)
    return {"source": one, "target": other, "groups": sorted(groups)}
