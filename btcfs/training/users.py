"""Which model versions need a stored definition."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from btcfs.definitions import Definition, FeatureGroup, FeatureView
from btcfs.errors import BtcfsError
from btcfs.training.registry import ModelVersion, Registry


def users(models_dir: str | Path, definitions: Iterable[Definition]) -> list[str]:
    """The versions whose view is one of these or reads one of these groups, each with its status.

    A version that cannot be read may be one, so it counts, and is told with the reason.
    """
    registry, wanted = Registry(models_dir), list(definitions)
    present = [version for version in registry.versions() if version.status != "missing"]
    found = []
    for version in present:
        try:
            if any(_uses(registry.load(version.version).view, definition) for definition in wanted):
                found.append(_said(version))
        except BtcfsError as exc:
            found.append(f"{version.version} (cannot be read: {exc})")
    return found


def _uses(view: FeatureView, definition: Definition) -> bool:
    return definition.ref in view.groups if isinstance(definition, FeatureGroup) else view.ref == definition.ref


def _said(version: ModelVersion) -> str:
    return f"{version.version} ({version.status})"
