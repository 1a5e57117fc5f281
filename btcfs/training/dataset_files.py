"""Training sets on disk: written once under their hash, never changed, verified when read."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from btcfs.definitions import FeatureView, Label, definition_from_dict
from btcfs.errors import NotFound, SchemaError
from btcfs.training.datasets import ARRAYS, TrainingSet

_HASH = re.compile(r"[0-9a-f]{64}")


def write_training_set(data: TrainingSet, models_dir: str | Path, split: Mapping[str, Any] | None = None) -> Path:
    """The folder ``<models dir>/datasets/<hash>`` with the arrays, what they mean, and each split used.

    A set that is already there is left as it is; the folder appears whole or not at all.
    """
    folder = Path(models_dir) / "datasets"
    folder.mkdir(parents=True, exist_ok=True)
    digest = data.hash
    target = folder / digest
    if not target.is_dir():
        _write(data, digest, folder, target)
    if split is not None:
        text = json.dumps(split, indent=2, sort_keys=True)
        name = f"split-{hashlib.sha256(text.encode()).hexdigest()[:12]}.json"
        _replace(target / name, text)
    return target


def read_training_set(models_dir: str | Path, digest: str) -> TrainingSet:
    """The training set of that hash, bit for bit as it was written.

    NotFound if there is none; SchemaError if a file was damaged or changed since.
    """
    if not isinstance(digest, str) or _HASH.fullmatch(digest) is None:
        raise NotFound(f"{digest!r} is not the hash of a training set: 64 digits of 0-9 and a-f")
    folder = Path(models_dir) / "datasets" / digest
    if not folder.is_dir():
        raise NotFound(f"no training set {digest} under {folder.parent}; btcfs train writes one")
    try:
        meta = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
        with np.load(folder / "arrays.npz", allow_pickle=False) as arrays:
            loaded = {name: arrays[name] for name in ARRAYS}
        view = definition_from_dict(meta["view"])
        assert isinstance(view, FeatureView)
        data = TrainingSet(
            view, Label(**meta["label"]), tuple(meta["features"]), **loaded, provenance=meta["provenance"]
        )
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as exc:
        raise SchemaError(f"the training set in {folder} cannot be read: {exc}; train again to write another") from exc
    if data.hash != digest:
        raise SchemaError(f"the training set in {folder} was changed after it was written: its hash is {data.hash}")
    return data


def _write(data: TrainingSet, digest: str, folder: Path, target: Path) -> None:
    scratch = Path(tempfile.mkdtemp(dir=folder, prefix=".writing-"))
    try:
        with (scratch / "arrays.npz").open("wb") as file:
            np.savez(file, **{name: getattr(data, name) for name in ARRAYS})
        meta = {
            "hash": digest,
            "view": data.view.to_dict(),
            "label": data.label.to_dict(),
            "features": list(data.features),
            "rows": len(data),
            "provenance": dict(data.provenance),
        }
        (scratch / "meta.json").write_text(json.dumps(meta, indent=2), encoding="utf-8")
        scratch.chmod(0o755)
        try:
            os.rename(scratch, target)
        except OSError:
            if not target.is_dir():  # else another process wrote the same bits first
                raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _replace(path: Path, text: str) -> None:
    with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False, encoding="utf-8") as file:
        file.write(text)
    os.replace(file.name, path)
