"""Names of versions: the UTC second of a training, with a number behind it if that second is taken."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from btcfs.errors import DefinitionError, StoreUnavailable
from btcfs.instants import now
from btcfs.training.manifest import read_manifest


@contextmanager
def reserved_version(models_dir: str | Path, wanted: str | None = None, *, at: datetime | None = None) -> Iterator[str]:
    """A name that no version has, and that inside the with block no other training gets, in this process or another.

    It is the ``wanted`` one, DefinitionError if that is taken, or one made of the second of ``at``, by default the present.
    StoreUnavailable if the folder cannot be written.
    """
    folder = Path(models_dir)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # A listed version may have lost its folder, and its name is taken all the same.
        listed = {entry.version for entry in read_manifest(folder).entries}
        name = _free(folder, listed, at or now()) if wanted is None else _wanted(folder, listed, wanted)
    except OSError as exc:
        raise StoreUnavailable(f"cannot write in the models folder {folder}: {exc}") from exc
    try:
        yield name
    finally:
        _claim(folder, name).unlink(missing_ok=True)


def _free(folder: Path, listed: set[str], at: datetime) -> str:
    stem = f"v{at:%Y%m%dT%H%M%SZ}"
    name, number = stem, 1
    while name in listed or not _claimed(folder, name):
        number += 1
        name = f"{stem}-{number}"
    return name


def _wanted(folder: Path, listed: set[str], name: str) -> str:
    if name in listed or not _claimed(folder, name):
        raise DefinitionError(f"model version {name} exists in {folder}; leave the version out to get a new one")
    return name


def _claim(folder: Path, name: str) -> Path:
    return folder / f".claim-{name}"


def _claimed(folder: Path, name: str) -> bool:
    path = _claim(folder, name)
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644))
    except FileExistsError:
        return False
    if (folder / name).exists():  # asked after the claim, for a claim is given up once its version is saved
        path.unlink()
        return False
    return True
