"""A trained pair of models in one folder: compiled, with its view, label, metrics and reports, executing nothing on load."""

from __future__ import annotations

import os
import platform
import re
import shutil
import tempfile
from collections.abc import Mapping
from functools import cached_property
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Any

import attrs
import numpy as np

from btcfs import durable
from btcfs.definitions import FeatureView, Label, definition_from_dict
from btcfs.errors import BtcfsError, DefinitionError, NotFound, SchemaError
from btcfs.instants import now
from btcfs.models import TASKS, Task
from btcfs.training.bundle_files import (
    arrays_from_bytes,
    arrays_to_bytes,
    json_from_bytes,
    json_to_bytes,
    read_files,
    write_files,
)
from btcfs.training.compiled import Compiled, Parity, compile_pipeline, parity
from btcfs.training.manifest import Entry, locked, read_manifest, write_manifest
from btcfs.training.threads import few_threads
from btcfs.training.version_names import reserved_version

BUNDLE = "bundle.json"
REPORTS = "reports"
DRAFT = ".draft-"
LIBRARIES = ("btcfs", "numpy", "scikit-learn", "pandas")
_VERSION = re.compile(r"v[0-9]{8}T[0-9]{6}Z(-[1-9][0-9]{0,5})?")


@attrs.frozen(eq=False)
class Bundle:
    """One version of the models: both compiled, and all that is known of them.

    ``features`` are in the order of the vectors that both models take; ``digest`` is a SHA-256 that
    stands for every byte of the bundle; ``parity`` says over how many rows each model equalled its
    estimator when it was saved.
    """

    version: str
    view: FeatureView
    label: Label
    classification: Compiled
    regression: Compiled
    metadata: Mapping[str, Any]
    metrics: Mapping[str, Any]
    parity: Mapping[str, Mapping[str, Any]]
    libraries: Mapping[str, str]
    created: str
    digest: str
    path: Path

    @property
    def features(self) -> tuple[str, ...]:
        return self.view.features

    @cached_property
    def view_fingerprint(self) -> str:
        return self.view.fingerprint

    @property
    def training_set(self) -> str | None:
        """The hash of the training set, as the metadata have it."""
        return self.metadata.get("training_set")

    @property
    def symbol(self) -> str | None:
        """The market it was trained on, as the metadata have it."""
        query = self.metadata.get("provenance", {}).get("query", {})
        symbol: str | None = query.get("entity", {}).get("symbol")
        return symbol

    def to_dict(self) -> dict[str, Any]:
        """Everything but the arrays, for JSON."""
        return {
            "version": self.version,
            "created": self.created,
            "digest": self.digest,
            "path": self.path.name,
            "view": self.view.to_dict(),
            "view_fingerprint": self.view_fingerprint,
            "features": list(self.features),
            "label": self.label.to_dict(),
            "models": {task: getattr(self, task).spec()[0] for task in TASKS},
            "parity": {task: dict(found) for task, found in self.parity.items()},
            "libraries": dict(self.libraries),
            "metadata": dict(self.metadata),
            "metrics": dict(self.metrics),
        }


def save_bundle(
    models_dir: Path | str,
    *,
    estimators: Mapping[str, Any],
    view: FeatureView,
    label: Label,
    parity_rows: np.ndarray[Any, Any],
    metadata: Mapping[str, Any],
    metrics: Mapping[str, Any],
    reports: Mapping[str, str] | None = None,
    version: str | None = None,
) -> Bundle:
    """Compile both fitted estimators, compare them with themselves, and save all as a new candidate version.

    ``estimators`` has one for ``classification`` and one for ``regression``; ``parity_rows`` is a
    matrix of at least one row in the view's order; ``reports`` maps file names to their text. The
    version is the present second, with ``-2``, ``-3``, ... if it is taken. Nothing is visible before
    it is whole. CheckFailed if a compiled model differs from its estimator; DefinitionError if one
    cannot be compiled, or the version exists.
    """
    folder = Path(models_dir)
    if version is not None:
        check_version(version)
    compiled, equalities = _compiled(estimators, view, parity_rows)
    created = now()
    content: dict[str, Any] = {
        "format": 1,
        "created": created.isoformat(),
        "view": view.to_dict(),
        "view_fingerprint": view.fingerprint,
        "label": label.to_dict(),
        "parity": {task: found.to_dict() for task, found in equalities.items()},
        "libraries": _libraries(),
        "metadata": dict(metadata),
        "metrics": dict(metrics),
    }
    files = {f"{REPORTS}/{name}": text.encode() for name, text in (reports or {}).items()}
    for task, model in compiled.items():
        spec, arrays = model.spec()
        content[task] = spec
        files[f"{task}.npz"] = arrays_to_bytes(arrays)
    if version is not None:
        return _stored(folder, content, files, version)
    with reserved_version(folder, at=created) as name:
        return _stored(folder, content, files, name)


def load_bundle(path: Path | str, digest: str | None = None) -> Bundle:
    """The bundle in a folder, every byte of it checked, against ``digest`` too if it is given.

    NotFound if there is none, SchemaError if a file is missing, was changed, or says what cannot be.
    """
    folder = Path(path)
    version = check_version(folder.name)
    files, found = read_files(folder)
    if digest is not None and digest != found:
        raise SchemaError(
            f"{folder} is not the bundle that the manifest lists as {version} (digest {found[:12]}…, "
            f"expected {digest[:12]}…); restore it from a copy, or train anew"
        )
    absent = [name for name in (BUNDLE, *(f"{task}.npz" for task in TASKS)) if name not in files]
    if absent:
        raise SchemaError(f"{folder} does not list {', '.join(absent)}; it is not a model bundle")
    content = json_from_bytes(files[BUNDLE], f"{folder / BUNDLE}")
    try:
        return _bundle(folder, content, files, found)
    except (KeyError, TypeError, AttributeError, DefinitionError) as exc:
        raise SchemaError(f"{folder / BUNDLE} does not describe a bundle: {exc!r}") from exc


def check_version(version: str) -> str:
    """The version itself. NotFound unless it is a version's name, which leads to no other folder."""
    if not isinstance(version, str) or _VERSION.fullmatch(version) is None:
        raise NotFound(
            f"{version!r} is not a model version such as 'v20251206T120000Z'; btcfs models list shows those that are there"
        )
    return version


def _compiled(
    estimators: Mapping[str, Any], view: FeatureView, rows: np.ndarray[Any, Any]
) -> tuple[dict[Task, Compiled], dict[Task, Parity]]:
    if sorted(estimators) != sorted(TASKS):
        raise DefinitionError(f"a bundle holds one estimator for each of {', '.join(TASKS)}, not {sorted(estimators)}")
    compiled: dict[Task, Compiled] = {}
    equalities: dict[Task, Parity] = {}
    for task in TASKS:
        model = compile_pipeline(estimators[task], task)
        if model.width != len(view.features):
            raise DefinitionError(
                f"the {task} model was fitted on {model.width} columns, {view.title} has {len(view.features)} features"
            )
        compiled[task] = model
        with few_threads(rows.size):
            equalities[task] = parity(model, estimators[task], np.asarray(rows, dtype=np.float64))
    return compiled, equalities


def _stored(folder: Path, content: dict[str, Any], files: dict[str, bytes], version: str) -> Bundle:
    with locked(folder):
        target = folder / version
        manifest = read_manifest(folder)
        if target.exists() or manifest.entry(version) is not None:
            raise DefinitionError(f"model version {version} exists in {folder}; leave the version out to get a new one")
        for abandoned in folder.glob(DRAFT + "*"):  # by a process that died: whoever lives holds the lock
            shutil.rmtree(abandoned, ignore_errors=True)
        draft = Path(tempfile.mkdtemp(prefix=DRAFT, dir=folder))
        try:
            try:
                files[BUNDLE] = json_to_bytes({**content, "version": version})
            except TypeError as exc:
                raise DefinitionError(f"the bundle's metadata or metrics cannot be written: {exc}") from exc
            digest = write_files(draft, files)
            draft.chmod(0o755)
            durable.sync_folder(draft)
            os.rename(draft, target)
        except (OSError, BtcfsError):
            shutil.rmtree(draft, ignore_errors=True)
            raise
        saved = load_bundle(target, digest)
        write_manifest(folder, attrs.evolve(manifest, entries=(*manifest.entries, entry_of(saved))))
    return saved


def entry_of(bundle: Bundle) -> Entry:
    """The manifest's line about a bundle."""
    named = bundle.metadata.get("models")
    models = {str(task): str(name) for task, name in named.items()} if isinstance(named, dict) else {}
    return Entry(bundle.version, bundle.path.name, bundle.digest, bundle.created, models)


def _bundle(folder: Path, content: dict[str, Any], files: Mapping[str, bytes], digest: str) -> Bundle:
    if content["format"] != 1 or content["version"] != folder.name:
        raise SchemaError(
            f"{folder} says that it is {content['version']!r} of format {content['format']!r}; "
            f"expected {folder.name!r} of format 1, so it was renamed or is of a later btcfs"
        )
    view = definition_from_dict(content["view"])
    if not isinstance(view, FeatureView) or view.fingerprint != content["view_fingerprint"]:
        raise SchemaError(f"{folder / BUNDLE} has a view that is not the one with its fingerprint")
    models = {}
    for task in TASKS:
        model = Compiled.from_spec(content[task], arrays_from_bytes(files[f"{task}.npz"], f"{folder}/{task}.npz"))
        if model.task != task or model.width != len(view.features):
            raise SchemaError(f"{folder / BUNDLE}: the {task} model is for {model.task} of {model.width} features")
        models[task] = model
    return Bundle(
        version=content["version"],
        view=view,
        label=Label(**content["label"]),
        metadata=content["metadata"],
        metrics=content["metrics"],
        parity=content["parity"],
        libraries=content["libraries"],
        created=content["created"],
        digest=digest,
        path=folder,
        **models,
    )


def _libraries() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = installed_version(name)
        except PackageNotFoundError:  # scikit-learn, where a stranger's estimator was fitted without it
            continue
    return found
