"""Copying a models folder: training sets, model versions and the history of which was active."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import attrs

from btcfs import durable
from btcfs.errors import CheckFailed, ConfigError, NotFound, StoreUnavailable
from btcfs.training.bundle import load_bundle
from btcfs.training.dataset_files import read_training_set
from btcfs.training.ledger import read_trials, record
from btcfs.training.manifest import Manifest, locked, read_manifest, write_manifest
from btcfs.training.registry import Registry

DRAFT = ".copying-"


@attrs.frozen
class ModelsCopy:
    """What a copy of a models folder did, or would do: names of versions and hashes of training sets."""

    versions: tuple[str, ...] = ()
    training_sets: tuple[str, ...] = ()
    present: int = 0
    active: str | None = None
    bytes: int = 0

    def to_dict(self) -> dict[str, Any]:
        return attrs.asdict(self)


def copy_models(source: str | Path, target: str | Path, *, dry_run: bool = False) -> ModelsCopy:
    """Copy every training set, model version and trial that the target lacks, and the activations.

    Each is read whole and checked by its own hashes before it is seen in the target, so a copy that was stopped
    simply goes on. StoreUnavailable if a file cannot be read or written; CheckFailed, before anything is written, if the target has another version of the same
    name or activations of its own; SchemaError if one in the source is damaged.
    """
    old, new = Path(source), Path(target)
    if not old.is_dir():
        raise NotFound(f"there is no models folder {old}")
    if old.resolve() == new.resolve():
        raise ConfigError(f"both models folders are {old.resolve()}; name two")
    if dry_run:
        return _plan(old, new)
    try:
        return _copied_into(new, old)
    except OSError as exc:
        raise StoreUnavailable(
            f"cannot copy the models {old} to {new}: {exc}. What is there is whole; with that put right, the same command "
            f"goes on"
        ) from exc


def _copied_into(new: Path, old: Path) -> ModelsCopy:
    with locked(new):
        plan = _plan(old, new)
        for abandoned in new.glob(f"**/{DRAFT}*"):  # of a copy that was killed: whoever lives holds the lock
            shutil.rmtree(abandoned, ignore_errors=True)
        for digest in plan.training_sets:
            read_training_set(old, digest)
            _copied(old / "datasets" / digest, new / "datasets" / digest)
            read_training_set(new, digest)
        for version in plan.versions:
            expected = load_bundle(old / version).digest
            _copied(old / version, new / version)
            load_bundle(new / version, expected)
        for digest in _training_sets(old):
            _add_splits(old / "datasets" / digest, new / "datasets" / digest)
        known = read_trials(new)
        trials = [trial for trial in read_trials(old) if trial not in known]
        if trials:
            record(new, trials)
        _list(old, new)
    return plan


def _plan(old: Path, new: Path) -> ModelsCopy:
    theirs = {version.version: version for version in Registry(new).versions()} if new.is_dir() else {}
    ours = {version.version: version for version in Registry(old).versions() if version.status != "missing"}
    for name in sorted(set(ours) & set(theirs)):
        if ours[name].digest != theirs[name].digest:
            raise CheckFailed(f"{new} already holds another model {name}; nothing was written. Copy to an empty folder")
    before, after = read_manifest(old).activations, read_manifest(new).activations
    if after != before[: len(after)]:
        raise CheckFailed(f"{new} has activations of its own; nothing was written. Copy to an empty folder")
    versions = tuple(name for name in sorted(ours) if name not in theirs)
    sets = _training_sets(old)
    missing = tuple(digest for digest in sets if not (new / "datasets" / digest).is_dir())
    folders = [old / name for name in versions] + [old / "datasets" / digest for digest in missing]
    size = sum(path.stat().st_size for folder in folders for path in folder.rglob("*") if path.is_file())
    present = len(ours) - len(versions) + len(sets) - len(missing)
    return ModelsCopy(versions, missing, present, read_manifest(old).active, size)


def _training_sets(folder: Path) -> list[str]:
    named = (path.name for path in (folder / "datasets").glob("*") if path.is_dir())
    return sorted(name for name in named if len(name) == 64)


def _copied(source: Path, target: Path) -> None:
    """The folder with the same bytes, seen whole or not at all."""
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=DRAFT, dir=target.parent))
    try:
        for path in sorted(source.rglob("*")):
            if path.is_file():
                copy = draft / path.relative_to(source)
                copy.parent.mkdir(parents=True, exist_ok=True)
                content = path.read_bytes()
                durable.write(copy, content)
                if hashlib.sha256(copy.read_bytes()).digest() != hashlib.sha256(content).digest():
                    raise CheckFailed(f"{copy} is not what was written to it; the copy stopped")
        draft.chmod(0o755)
        os.rename(draft, target)
        durable.sync_folder(target.parent)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _add_splits(source: Path, target: Path) -> None:
    """The splits of a training set that came after it was copied; each is named by its own hash."""
    for path in source.glob("split-*.json"):
        if not (target / path.name).exists():
            durable.replace(target / path.name, path.read_bytes())


def _list(old: Path, new: Path) -> None:
    """Bring the target's manifest to the source's: activations only if every version that they name is there."""
    listed, known = read_manifest(old), read_manifest(new)
    there = {version.version for version in Registry(new).versions()}
    entries = {entry.version: entry for entry in (*known.entries, *listed.entries) if entry.version in there}
    activations = listed.activations if {a.version for a in listed.activations} <= there else known.activations
    write_manifest(new, Manifest(tuple(entries.values()), activations))
