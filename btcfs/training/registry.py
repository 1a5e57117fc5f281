"""The versions of a models folder: which there are, which one is active, and the gate between."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import attrs

from btcfs.errors import CheckFailed, NotFound, SchemaError
from btcfs.instants import now
from btcfs.training.bundle import Bundle, check_version, entry_of, load_bundle
from btcfs.training.gate import GateCheck, obstacles
from btcfs.training.manifest import Activation, Entry, Manifest, locked, read_manifest, write_manifest


@attrs.frozen
class ModelVersion:
    """One version: ``active``, a ``candidate`` that never was, ``retired`` if it was once, ``missing`` if its folder is gone."""

    version: str
    status: Literal["active", "candidate", "retired", "missing"]
    created: str
    digest: str
    forced: str | None = None
    models: dict[str, str] = attrs.field(factory=dict)

    def to_dict(self) -> dict[str, Any]:
        return attrs.asdict(self)


class Registry:
    """The model bundles in a folder. It keeps nothing in memory: each call sees what other processes did."""

    def __init__(self, models_dir: Path | str) -> None:
        self.models_dir = Path(models_dir)

    def versions(self) -> list[ModelVersion]:
        """Every version, the newest first."""
        manifest = self._manifest()
        return sorted((self._described(manifest, entry) for entry in manifest.entries), key=_age, reverse=True)

    def show(self, version: str) -> dict[str, Any]:
        """All that is known of a version but its arrays: for JSON. NotFound and SchemaError as ``load`` says."""
        manifest = self._manifest()
        entry = _entry(manifest, version, self.models_dir)
        history = [activation for activation in manifest.to_dict()["activations"] if activation["version"] == version]
        described = self._described(manifest, entry)
        return {**self._loaded(entry).to_dict(), "status": described.status, "activations": history}

    def load(self, version: str) -> Bundle:
        """The bundle of a version. NotFound if there is none; SchemaError if it is not what was saved."""
        return self._loaded(_entry(self._manifest(), version, self.models_dir))

    def active_version(self) -> str | None:
        """The name of the active version, None if there is none; cheap enough to ask each second."""
        return read_manifest(self.models_dir).active

    def active(self) -> Bundle | None:
        """The active bundle, checked whole, or None. SchemaError if it is not what was saved."""
        version = self.active_version()
        return None if version is None else self.load(version)

    def activate(self, version: str, *, checks: Sequence[GateCheck], force_reason: str | None = None) -> Bundle:
        """Make a version the active one, if every required check passed.

        CheckFailed, naming what stands in the way, if not; a ``force_reason`` overrides that, and is
        recorded with the checks. The bundle is loaded first, so a damaged one never becomes active.
        """
        reason = (force_reason or "").strip() or None
        if force_reason is not None and reason is None:
            raise CheckFailed("a model is forced only with a reason in words, which is recorded; give one")
        found = obstacles(checks)
        if found and reason is None:
            raise CheckFailed(
                f"{version} stays a candidate: {'; '.join(f'{check.name} ({check.detail})' for check in found)}; "
                f'to activate it all the same: btcfs models activate {version} --force "the reason"'
            )
        with locked(self.models_dir):
            manifest = self._manifest()
            bundle = self._loaded(_entry(manifest, version, self.models_dir))
            if manifest.active != version:
                recorded = tuple(check.to_dict() for check in checks)
                activation = Activation(version, now().isoformat(), "activate", recorded, reason if found else None)
                self._record(manifest, activation)
        return bundle

    def rollback(self) -> Bundle:
        """Make the version active again that was active before. NotFound if there was none."""
        with locked(self.models_dir):
            manifest = self._manifest()
            target = self.rollback_target(manifest)
            bundle = self._loaded(_entry(manifest, target, self.models_dir))
            self._record(manifest, Activation(target, now().isoformat(), "rollback"))
        return bundle

    def rollback_target(self, manifest: Manifest | None = None) -> str:
        """The version that ``rollback`` goes back to. NotFound if there was none before the active one."""
        stack = (self._manifest() if manifest is None else manifest).stack
        if len(stack) < 2:
            raise NotFound(
                f"no model was active before {stack[-1] if stack else 'now'} in {self.models_dir}; "
                "btcfs models list shows the versions, btcfs models activate chooses one"
            )
        return stack[-2]

    def _record(self, manifest: Manifest, activation: Activation) -> None:
        write_manifest(self.models_dir, attrs.evolve(manifest, activations=(*manifest.activations, activation)))

    def _manifest(self) -> Manifest:
        """The manifest, and with it any bundle whose process died between saving and listing it."""
        manifest = read_manifest(self.models_dir)
        listed = {entry.version for entry in manifest.entries}
        found = [_unlisted(path) for path in sorted(self.models_dir.glob("v*")) if path.name not in listed]
        return attrs.evolve(manifest, entries=(*manifest.entries, *(entry for entry in found if entry is not None)))

    def _loaded(self, entry: Entry) -> Bundle:
        return load_bundle(self.models_dir / entry.path, entry.digest)

    def _described(self, manifest: Manifest, entry: Entry) -> ModelVersion:
        own = [activation for activation in manifest.activations if activation.version == entry.version]
        status: Literal["active", "candidate", "retired", "missing"] = "retired" if own else "candidate"
        if manifest.active == entry.version:
            status = "active"
        if not (self.models_dir / entry.path).is_dir():
            status = "missing"
        forced = next((activation.force_reason for activation in reversed(own) if activation.force_reason), None)
        return ModelVersion(entry.version, status, entry.created, entry.digest, forced, entry.models)


def _entry(manifest: Manifest, version: str, models_dir: Path) -> Entry:
    entry = manifest.entry(check_version(version))
    if entry is None:
        known = [known.version for known in manifest.entries]
        raise NotFound(f"no model version {version!r} in {models_dir}; there are: {', '.join(known) or 'none'}")
    if entry.path != version:
        raise SchemaError(f"the manifest of {models_dir} puts {version} into {entry.path!r}, expected its own folder")
    return entry


def _unlisted(path: Path) -> Entry | None:
    try:
        bundle = load_bundle(path)
    except (NotFound, SchemaError):  # a folder of another kind, or a damaged bundle that was never listed
        return None
    return entry_of(bundle)


def _age(version: ModelVersion) -> tuple[str, int]:
    stem, _, number = version.version.partition("-")
    return stem, int(number or 1)
