"""The manifest of a models folder: its versions and every activation, written whole under a lock between processes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import attrs

from btcfs import durable
from btcfs.errors import SchemaError, StoreUnavailable

MANIFEST = "manifest.json"
LOCK = ".manifest.lock"
PATIENCE = 30.0


@attrs.frozen
class Entry:
    """A version: its folder relative to the manifest, in POSIX form, and the SHA-256 of its list of files.

    ``models`` names the kind of model for each task, as far as training told.
    """

    version: str
    path: str
    digest: str
    created: str
    models: dict[str, str] = attrs.field(factory=dict)


def _checks(checks: Iterable[dict[str, Any]]) -> tuple[dict[str, Any], ...]:
    return tuple(checks)


@attrs.frozen
class Activation:
    """A change of the active version: when, by which checks, and why it was forced if it was."""

    version: str
    at: str
    action: Literal["activate", "rollback"] = "activate"
    checks: tuple[dict[str, Any], ...] = attrs.field(default=(), converter=_checks)
    force_reason: str | None = None


@attrs.frozen
class Manifest:
    """What the manifest says. The active version follows from the activations; it is written out for readers."""

    entries: tuple[Entry, ...] = ()
    activations: tuple[Activation, ...] = ()

    @property
    def stack(self) -> tuple[str, ...]:
        """The active version last, before it those that a rollback goes back to."""
        stack: list[str] = []
        for activation in self.activations:
            if activation.action == "rollback":
                stack.pop()
            else:
                stack.append(activation.version)
        return tuple(stack)

    @property
    def active(self) -> str | None:
        return self.stack[-1] if self.stack else None

    def entry(self, version: str) -> Entry | None:
        return next((entry for entry in self.entries if entry.version == version), None)

    def to_dict(self) -> dict[str, Any]:
        return {
            "format": 1,
            "active_version": self.active,
            "versions": [attrs.asdict(entry) for entry in self.entries],
            "activations": [{**attrs.asdict(a), "checks": list(a.checks)} for a in self.activations],
        }


def read_manifest(models_dir: Path) -> Manifest:
    """The manifest of the folder, empty if there is none yet. SchemaError if it is not one."""
    path = models_dir / MANIFEST
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return Manifest()
    except OSError as exc:
        raise StoreUnavailable(f"cannot read {path}: {exc}") from exc
    except ValueError as exc:
        raise SchemaError(f"{path} is not JSON: {exc}; restore it, or delete it to begin with no active model") from exc
    try:
        found = Manifest(
            tuple(Entry(**entry) for entry in content["versions"]),
            tuple(Activation(**activation) for activation in content["activations"]),
        )
        consistent = content["active_version"] == found.active
    except (KeyError, TypeError, IndexError) as exc:
        raise SchemaError(
            f"{path} is not a manifest: {exc!r}; restore it, or delete it to begin with no active model"
        ) from exc
    if not consistent:
        raise SchemaError(
            f"{path} says that {content['active_version']!r} is active, its activations say {found.active!r}; "
            "restore it, and use btcfs models activate instead of an editor"
        )
    return found


def write_manifest(models_dir: Path, manifest: Manifest) -> None:
    """Replace the manifest in one step; whoever reads sees the old one or the new one. Call it under ``locked``."""
    text = json.dumps(manifest.to_dict(), indent=2, allow_nan=False) + "\n"
    durable.replace(models_dir / MANIFEST, text.encode())


@contextmanager
def locked(models_dir: Path, patience: float = PATIENCE) -> Iterator[None]:
    """Hold the folder's lock; the system frees it if the process dies. StoreBusy after so many seconds of waiting."""
    path = models_dir / LOCK
    try:
        models_dir.mkdir(parents=True, exist_ok=True)
        path.touch()
    except OSError as exc:
        raise StoreUnavailable(f"cannot write in the models folder {models_dir}: {exc}") from exc
    busy = f"another process holds {path}; it is saving or activating a model, so try again"
    with durable.locked(path, patience, busy):
        yield
