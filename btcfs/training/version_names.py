"""Names of versions: the UTC second of a training, with a number behind it if that second is taken."""

from __future__ import annotations

import os
from pathlib import Path

from btcfs.instants import now


def reserve_version(models_dir: str | Path) -> str:
    """A name that no version has and that no other training gets, in this process or another."""
    folder = Path(models_dir)
    folder.mkdir(parents=True, exist_ok=True)
    stem = f"v{now():%Y%m%dT%H%M%SZ}"
    name, number = stem, 1
    while (folder / name).exists() or not _claimed(_claim(folder, name)):
        number += 1
        name = f"{stem}-{number}"
    return name


def release_version(models_dir: str | Path, name: str) -> None:
    """Give up the claim, for the version itself now bears the name, or never will."""
    _claim(Path(models_dir), name).unlink(missing_ok=True)


def _claim(folder: Path, name: str) -> Path:
    return folder / f".claim-{name}"


def _claimed(path: Path) -> bool:
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644))
    except FileExistsError:
        return False
    return True
