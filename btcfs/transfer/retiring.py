"""Deleting from a store: what still needs it is named, its rows are kept for a while, and that it is gone is written down."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import attrs

from btcfs import catalogue, durable
from btcfs.config import Config
from btcfs.connection import connect
from btcfs.definitions import Definition, FeatureGroup
from btcfs.errors import BtcfsError, DefinitionError, StoreBusy, StoreUnavailable, Unsupported
from btcfs.instants import now, parse_instant
from btcfs.pipeline.tombstones import TOMBSTONES, Tombstone, bury, kind_of
from btcfs.store import Capability, FeatureStore
from btcfs.training.users import users
from btcfs.transfer.copying import copy_store

KEPT = Path(".btcfs/deleted")
KEEP_DAYS = 30
_MARK = "kept.json"
_STORE = "store"


@attrs.frozen
class Retirement:
    """What a deletion takes away; ``kept_in`` is where the rows are kept, ``purged`` what of earlier ones is no longer."""

    going: tuple[Definition, ...]
    rows: dict[str, int]
    models: tuple[str, ...]
    reason: str | None
    kept_in: Path | None = None
    kept_until: datetime | None = None
    purged: tuple[str, ...] = ()

    @property
    def titles(self) -> list[str]:
        return [definition.title for definition in self.going]

    def to_dict(self) -> dict[str, Any]:
        content = attrs.asdict(self, recurse=False)
        return {**content, "going": self.titles, "restore": self.restore}

    @property
    def restore(self) -> str | None:
        """The place, as ``btcfs copy`` takes it, that the rows can be brought back from."""
        return None if self.kept_in is None else f"duckdb:{self.kept_in / _STORE}"


def plan_retirement(
    store: FeatureStore,
    definition: Definition,
    *,
    all_versions: bool = False,
    models_dir: str | Path = "models",
    force_reason: str | None = None,
) -> Retirement:
    """What ``retire`` with these arguments would delete. It reads, and refuses what ``retire`` would refuse.

    NotFound if it is not stored; DefinitionError, naming them, while views use it, or models do and there is no
    ``force_reason`` in words; Unsupported by a store that deletes nothing.
    """
    if Capability.DELETE not in store.capabilities:
        raise Unsupported(f"backend {store.name!r} deletes nothing; btcfs backends shows what each can do")
    reason = (force_reason or "").strip() or None
    if force_reason is not None and reason is None:
        raise DefinitionError("what models use is deleted only for a reason in words, which is recorded; give one")
    stored = store.definitions()
    going = _going(stored, definition, all_versions)
    views = {v.title: v for d in going if isinstance(d, FeatureGroup) for v in catalogue.dependents(stored, d)}
    models = users(models_dir, going)
    if views or (models and reason is None):
        raise DefinitionError(_in_the_way(going, list(views), models))
    rows = {d.title: store.summary(d).rows if isinstance(d, FeatureGroup) else 0 for d in going}
    return Retirement(tuple(going), rows, tuple(models), reason if models else None)


def retire(
    store: FeatureStore,
    definition: Definition,
    *,
    all_versions: bool = False,
    models_dir: str | Path = "models",
    force_reason: str | None = None,
    keep_days: int = KEEP_DAYS,
    keep_in: str | Path = KEPT,
) -> Retirement:
    """Delete a group or view, or all versions of it, from any store.

    The rows of a group, every version with its knowledge time where the store has that, are first copied to a DuckDB store
    below ``keep_in`` and kept for ``keep_days``; 0 keeps nothing. What was kept for longer is removed on the way.
    Then a row of ``btcfs_deleted`` says what goes, why and where it is kept, and then it goes; a process that dies in between
    leaves it stored. Errors as ``plan_retirement`` has them; StoreBusy if somebody writes to it meanwhile; StoreUnavailable
    if only a mirror answers for it.
    """
    plan = plan_retirement(
        store, definition, all_versions=all_versions, models_dir=models_dir, force_reason=force_reason
    )
    at = now()
    purged = _purge(Path(keep_in), at)
    groups = [d for d in plan.going if isinstance(d, FeatureGroup)]
    plan = attrs.evolve(plan, purged=tuple(purged))
    _refuse_mirror(store, groups, at)
    before = _state(store, groups)
    if groups and keep_days > 0:
        folder = Path(keep_in) / f"{definition.name}-{at:%Y%m%dT%H%M%S%fZ}"
        plan = attrs.evolve(plan, kept_in=folder, kept_until=at + timedelta(days=keep_days))
        _keep(store, plan, groups)
    with store.exclusive():
        try:
            _refuse_mirror(store, groups, at)
            if _state(store, groups) != before:
                raise StoreBusy(f"{', '.join(plan.titles)} was written to meanwhile; nothing was deleted, try again")
        except BtcfsError:  # nothing goes, so nothing needs to be kept
            if plan.kept_in is not None:
                shutil.rmtree(plan.kept_in, ignore_errors=True)
            raise
        bury(store, _tombstones(plan, at))
        store.delete(definition, all_versions=all_versions)
    return plan


def _going(stored: Sequence[Definition], definition: Definition, all_versions: bool) -> list[Definition]:
    if isinstance(definition, FeatureGroup) and definition.name == TOMBSTONES.name:
        raise DefinitionError(f"{definition.title} is the record of what was deleted; it stays")
    if all_versions:
        same = [d for d in stored if type(d) is type(definition) and d.name == definition.name]
        if same:
            return same
    return [catalogue.same(stored, definition)]


def _in_the_way(going: Sequence[Definition], views: Sequence[str], models: Sequence[str]) -> str:
    parts = []
    if views:
        parts.append(f"the views {', '.join(views)}; delete those first: btcfs store delete --view NAME --version N")
    if models:
        parts.append(
            f"the models {', '.join(models)}, which can neither answer nor be replayed without it; to delete it all the "
            f'same: btcfs store delete {going[0].name} --force "the reason", or force_reason="the reason"'
        )
    return f"nothing was deleted: {', '.join(d.title for d in going)} is used by {', and by '.join(parts)}"


def _state(store: FeatureStore, groups: Sequence[FeatureGroup]) -> list[Any]:
    if Capability.TIME_TRAVEL in store.capabilities:
        return [tuple(store.commits(group)) for group in groups]
    return [store.summary(group) for group in groups]


def _refuse_mirror(store: FeatureStore, groups: Sequence[FeatureGroup], at: datetime) -> None:
    """StoreUnavailable if a mirror answers for the store: what it holds may be less than what would be deleted."""
    for group in groups:
        reason = store.read(group, at, at + timedelta(microseconds=1)).attrs.get("fallback_reason")
        if reason is not None:
            raise StoreUnavailable(f"nothing was deleted: only a mirror of {group.title} answers, for {reason}")


def _keep(store: FeatureStore, plan: Retirement, groups: Sequence[FeatureGroup]) -> None:
    """Copy the groups to a store of their own, verified; nothing stays of a copy that failed."""
    folder, until = plan.kept_in, plan.kept_until
    assert folder is not None
    assert until is not None
    try:
        folder.mkdir(parents=True)
        # First, so that a copy which is killed is removed in its time too.
        durable.replace(folder / _MARK, json.dumps({"until": until.isoformat(), "of": plan.titles}).encode())
    except OSError as exc:
        raise StoreUnavailable(f"cannot keep the rows in {folder}: {exc}; --keep-days 0 deletes without") from exc
    try:
        with connect("duckdb", config=Config(), path=folder / _STORE) as kept:
            copy_store(store, kept, [f"{group.name}:{group.version}" for group in groups])
    except BaseException:  # whatever stopped it, nothing was deleted, so nothing needs to be kept
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _purge(folder: Path, at: datetime) -> list[str]:
    """Remove what was kept for long enough."""
    gone = []
    for mark in sorted(folder.glob(f"*/{_MARK}")):
        content = json.loads(mark.read_text(encoding="utf-8"))
        if parse_instant(content["until"]) < at:
            shutil.rmtree(mark.parent)
            gone.append(f"{', '.join(content['of'])} in {mark.parent}")
    return gone


def _tombstones(plan: Retirement, at: datetime) -> list[Tombstone]:
    kept = None if plan.kept_in is None else str(plan.kept_in)
    return [
        Tombstone(
            kind_of(d), d.name, d.version, at, d.fingerprint, plan.rows[d.title], plan.reason, plan.models, kept,
            plan.kept_until,
        )
        for d in plan.going
    ]  # fmt: skip
