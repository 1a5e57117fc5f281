"""What a copy would do: which definitions, how many rows, bytes and calls; and what refuses it before it begins."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol, runtime_checkable

import attrs

from btcfs import catalogue
from btcfs.definitions import Definition, FeatureGroup
from btcfs.errors import ConfigError, Unsupported
from btcfs.store import Capability, Commit, FeatureStore
from btcfs.transfer.journal import Journal
from btcfs.transfer.pieces import ROWS
from btcfs.transfer.selection import Selection
from btcfs.transfer.standing import Standing, with_history, without_history

TEXT_BYTES = 16  # taken for a text where its length is not known


@runtime_checkable
class ForecastsCalls(Protocol):
    """What a store may offer beyond the protocol, if each of its calls costs something."""

    def forecast_calls(self, group: FeatureGroup, rows: int, writes: int) -> Mapping[str, int]:
        """How often each kind of call is made to write so many rows, in so many writes, and read them back once."""


@attrs.frozen
class GroupPlan:
    """What is to be copied of one group.

    ``rows`` are of the newest state; ``to_write`` counts every version of a row that is not yet
    there, None if the source does not say; ``bytes`` is what ``to_write`` (or ``rows``) needs in
    memory, a text taken for 16.
    """

    group: FeatureGroup
    standing: Standing
    rows: int
    to_write: int | None
    commits: tuple[Commit, ...] | None
    writes: int
    start: datetime | None
    end: datetime | None
    calls: Mapping[str, int] | None

    @property
    def bytes(self) -> int:
        count = self.rows if self.to_write is None else self.to_write
        return count * row_bytes(self.group)

    def to_dict(self) -> dict[str, Any]:
        return {
            "name": self.group.name,
            "version": self.group.version,
            "rows": self.rows,
            "rows_to_write": self.to_write,
            "bytes": self.bytes,
            "commits": None if self.commits is None else len(self.commits),
            "commits_done": len(self.standing.done),
            "writes": self.writes,
            "resumed": self.standing.begun,
            "start": self.start,
            "end": self.end,
            "calls": None if self.calls is None else dict(self.calls),
        }


@attrs.frozen
class CopyPlan:
    """All that a copy would do. ``history`` says whether knowledge time goes along; ``notes`` what a reader must know."""

    source: str
    target: str
    history: bool
    as_of: datetime | None
    definitions: tuple[Definition, ...]
    groups: tuple[GroupPlan, ...]
    notes: tuple[str, ...]

    @property
    def calls(self) -> dict[str, int]:
        """The forecast of all groups together; empty if the target forecasts none."""
        total: Counter[str] = Counter()
        for group in self.groups:
            total.update(group.calls or {})
        return dict(total)

    def to_dict(self) -> dict[str, Any]:
        return {
            "source": self.source,
            "target": self.target,
            "knowledge_time": self.history,
            "definitions": [
                {"kind": d.to_dict()["kind"], "name": d.name, "version": d.version} for d in self.definitions
            ],
            "groups": [group.to_dict() for group in self.groups],
            "rows": sum(group.rows for group in self.groups),
            "bytes": sum(group.bytes for group in self.groups),
            "calls": self.calls or None,
            "notes": list(self.notes),
        }


def row_bytes(group: FeatureGroup) -> int:
    """The bytes of one row in memory."""
    return sum(TEXT_BYTES if dtype == "string" else 8 for dtype in group.dtypes.values())


def planned(
    source: FeatureStore, target: FeatureStore, chosen: Selection, journal: Journal, *, size: int = ROWS
) -> CopyPlan:
    """The plan, made by reading alone.

    Unsupported if a side cannot do what a copy needs; DefinitionError if the target has other
    definitions of these names; CheckFailed if it has other data in these groups.
    """
    _check_stores(source, target)
    stored = list(target.definitions())
    new = _checked(stored, chosen)
    history = Capability.TIME_TRAVEL in source.capabilities and Capability.TIME_TRAVEL in target.capabilities
    as_of = None if history else _pinned(source, chosen, journal)
    present = {d.ref for d in stored if isinstance(d, FeatureGroup)}
    groups = []
    for group in chosen.groups:
        if group.ref not in present:
            standing = Standing()
        elif history:
            standing = with_history(source, target, group, journal)
        else:
            standing = without_history(source, target, group, journal, as_of)
        groups.append(_group_plan(source, target, group, standing, history, size))
    notes = _notes(source, target, chosen, history)
    return CopyPlan(source.name, target.name, history, as_of, tuple(new), tuple(groups), tuple(notes))


def _check_stores(source: FeatureStore, target: FeatureStore) -> None:
    if source is target:
        raise ConfigError("source and target are the same store; a copy needs two")
    for store, needed in ((source, (Capability.SCAN,)), (target, (Capability.WRITE, Capability.SCAN))):
        for capability in needed:
            if capability not in store.capabilities:
                raise Unsupported(
                    f"backend {store.name!r} does not declare {capability.value!r}, without which rows can be neither "
                    f"copied nor verified; btcfs backends shows what each declares"
                )


def _checked(stored: Sequence[Definition], chosen: Selection) -> list[Definition]:
    """The definitions that the target lacks. DefinitionError if it has others of their names."""
    together = list(stored)
    new = []
    for definition in chosen.definitions:
        catalogue.check_apply(together, definition)
        if not any(type(d) is type(definition) and d.ref == definition.ref for d in stored):
            together.append(definition)
            new.append(definition)
    return new


def _pinned(source: FeatureStore, chosen: Selection, journal: Journal) -> datetime | None:
    """The knowledge instant that a copy without history is of, the same when it is resumed."""
    if Capability.TIME_TRAVEL not in source.capabilities:
        return None
    recorded = journal.of("as_of")
    if recorded:
        return datetime.fromisoformat(recorded[-1]["instant"])
    newest = [commits[-1].committed_at for commits in map(source.commits, chosen.groups) if commits]
    return max(newest, default=None)


def _group_plan(
    source: FeatureStore, target: FeatureStore, group: FeatureGroup, standing: Standing, history: bool, size: int
) -> GroupPlan:
    summary = source.summary(group)
    commits = tuple(c for c in source.commits(group) if c.rows != 0) if history else None
    to_write: int | None = summary.rows
    writes = -(-summary.rows // size)
    if commits is not None:
        left = [commit for commit in commits if commit not in standing.done]
        known = [commit.rows for commit in left if commit.rows is not None]
        to_write = sum(known) if len(known) == len(left) else 0 if not left else None
        writes = sum(max(1, -(-rows // size)) for rows in known) + len(left) - len(known)
    calls = None
    if isinstance(target, ForecastsCalls):
        calls = target.forecast_calls(group, summary.rows if to_write is None else to_write, writes)
    return GroupPlan(group, standing, summary.rows, to_write, commits, writes, summary.start, summary.end, calls)


def _notes(source: FeatureStore, target: FeatureStore, chosen: Selection, history: bool) -> list[str]:
    notes = []
    if not history:
        lacking = [s.name for s in (source, target) if Capability.TIME_TRAVEL not in s.capabilities]
        notes.append(
            f"KNOWLEDGE TIME IS LOST: {' and '.join(lacking)} does not declare 'time_travel', so only the newest state "
            f"is copied; a training set as of an earlier instant can then be made from {source.name} alone"
        )
    names = {type(d).__name__ + d.name for d in chosen.definitions}
    others = [d.title for d in target.definitions() if type(d).__name__ + d.name not in names]
    if others:
        notes.append(
            f"{target.name} also holds {', '.join(others[:5])}{' and others' if others[5:] else ''}; they stay"
        )
    return notes
