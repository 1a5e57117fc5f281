"""The rules of saving model bundles: whole or absent, written once, and nothing beside their folder touched."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from btcfs.definitions import FeatureView, Label
from btcfs.errors import CheckFailed, DefinitionError, NotFound
from btcfs.training.bundle import Bundle, load_bundle, save_bundle
from btcfs.training.manifest import read_manifest
from trained import FEATURES, VIEW, bundle, fitted, rows

pytest.importorskip("sklearn", reason="scikit-learn is in the extra 'train'")

from bundles import files_of

pytest_plugins = ["bundles"]


def test_round_trip(saved: Bundle) -> None:
    """A bundle that is loaded predicts the bits of the one that was saved, and knows what that one knew."""
    again, unseen = load_bundle(saved.path), rows(100, seed=2)

    assert again.classification.predict_many(unseen).tolist() == saved.classification.predict_many(unseen).tolist()
    assert again.regression.predict_many(unseen).tolist() == saved.regression.predict_many(unseen).tolist()
    assert again.to_dict() == saved.to_dict()
    assert (again.features, again.view_fingerprint, again.label) == (FEATURES, VIEW.fingerprint, Label())
    assert again.training_set == "0" * 64
    assert again.parity["classification"] == {"rows": 200, "max_difference": pytest.approx(0, abs=1e-9), "flips": 0}


def test_it_predicts_what_the_estimator_predicts(tmp_path: Path) -> None:
    """The numbers of a loaded bundle are those of the pipelines that were given to it."""
    made, unseen = bundle(tmp_path), rows(500, seed=3)

    loaded = load_bundle(made.path)

    assert loaded.classification.predict_many(unseen) == pytest.approx(
        fitted("logistic").predict_proba(unseen)[:, 1], abs=1e-9
    )
    assert loaded.regression.predict_many(unseen) == pytest.approx(fitted("ridge").predict(unseen), abs=1e-9)


def test_what_is_in_the_folder(saved: Bundle) -> None:
    """A bundle holds arrays, JSON, reports and their sums; its paths are relative and POSIX, and nothing is pickled."""
    names = [path.relative_to(saved.path).as_posix() for path in files_of(saved.path)]
    sums = (saved.path / "SHA256SUMS").read_text()
    text = (saved.path / "bundle.json").read_text() + (saved.path.parent / "manifest.json").read_text() + sums

    assert names == ["SHA256SUMS", "bundle.json", "classification.npz", "regression.npz", "reports/report.txt"]
    assert [line.split("  ")[1] for line in sums.splitlines()] == names[1:]
    assert str(saved.path.parent) not in text
    assert "\\" not in text
    assert {"btcfs", "numpy", "scikit-learn", "python"} <= set(saved.libraries)


def test_the_version_is_its_second(saved: Bundle) -> None:
    """A version is named after the second of its making, in UTC."""
    assert re.fullmatch(r"v\d{8}T\d{6}Z", saved.version)
    assert saved.version == "v" + re.sub(r"[-:]", "", saved.created)[:15] + "Z"


def test_versions_of_one_second_do_not_collide(tmp_path: Path) -> None:
    """Bundles saved within a second get versions of their own, and all are listed."""
    made = [bundle(tmp_path, "majority", "zero_return") for _ in range(4)]

    assert len({one.version for one in made}) == 4
    assert [entry.version for entry in read_manifest(tmp_path).entries] == [one.version for one in made]


def test_a_version_is_written_once(tmp_path: Path) -> None:
    """A version that exists is never written over."""
    bundle(tmp_path, version="v20251206T120000Z")

    with pytest.raises(DefinitionError, match="v20251206T120000Z exists"):
        bundle(tmp_path, version="v20251206T120000Z", seed=1)


@pytest.mark.parametrize(
    "version", ["../evil", "v20251206T120000Z/..", "", "v1", "v20251206T120000Z\n", "latest", "C:\\x"]
)
def test_a_version_leads_nowhere_else(version: str, tmp_path: Path) -> None:
    """A version that is not one, such as a path, is refused before any file is touched."""
    folder = tmp_path / "models"

    with pytest.raises(NotFound, match="not a model version"):
        bundle(folder, version=version)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["../report.txt", "/etc/report", "a/../../b", "", ".hidden", "a b"])
def test_a_report_leads_nowhere_else(name: str, tmp_path: Path) -> None:
    """A report's name that leads out of the bundle is refused, and nothing is left behind."""
    folder = tmp_path / "models"

    with pytest.raises(DefinitionError, match="file name"):
        bundle(folder, reports={name: "x"})
    assert [path.name for path in tmp_path.rglob("*") if path.name not in ("models", ".manifest.lock")] == []


def test_nothing_is_saved_on_a_flip(tmp_path: Path) -> None:
    """When the compiled model differs from its estimator, the bundle is refused and no trace of it remains."""
    pipeline = fitted("logistic")
    scaler = pipeline[0]

    class Shifted(type(scaler)):
        def transform(self, X: Any, copy: Any = None) -> Any:
            return super().transform(X) + 1.0

    Shifted.__module__ = type(scaler).__module__  # so that it is taken for the scaler that it is not
    Shifted.__name__ = type(scaler).__name__
    scaler.__class__ = Shifted

    with pytest.raises(CheckFailed, match="nothing was saved"):
        bundle(tmp_path / "models", estimators={"classification": pipeline, "regression": fitted("ridge")})
    assert not (tmp_path / "models").exists()


def test_both_tasks_are_needed(tmp_path: Path) -> None:
    """A bundle without a model for each task, or of models of another width, is refused."""
    with pytest.raises(DefinitionError, match="one estimator for each"):
        bundle(tmp_path, estimators={"classification": fitted("logistic")})
    with pytest.raises(DefinitionError, match="6 columns, narrow v1 has 2 features"):
        bundle(tmp_path, view=FeatureView("narrow", 1, [("bitcoin_features", 1)], ["close", "volume"]))


def test_metrics_of_any_number(tmp_path: Path) -> None:
    """Metrics may hold numpy's numbers, instants and missing values; what has no JSON form is refused by name."""
    metrics = {"auc": np.float64(0.5), "n": np.int64(3), "r2": float("nan"), "folds": (1, np.arange(2))}

    loaded = load_bundle(bundle(tmp_path, metrics=metrics).path)

    assert loaded.metrics == {"auc": 0.5, "n": 3, "r2": None, "folds": [1, [0, 1]]}
    with pytest.raises(DefinitionError, match="cannot be written: <object"):
        bundle(tmp_path, metrics={"strange": object()})
    assert len(list(tmp_path.glob("v*"))) == 1
    assert list(tmp_path.glob(".draft-*")) == []


def test_the_same_models_are_the_same_bytes(tmp_path: Path) -> None:
    """Equal models give equal files, so that bundles can be compared by their sums."""
    first, second = (bundle(tmp_path / str(n)) for n in range(2))

    for task in ("classification", "regression"):
        assert (first.path / f"{task}.npz").read_bytes() == (second.path / f"{task}.npz").read_bytes()


def test_save_bundle_is_what_the_seam_says(tmp_path: Path) -> None:
    """Models folders are made as needed, and given as text or as a path."""
    made = save_bundle(
        str(tmp_path / "deep" / "models"),
        estimators={"classification": fitted("majority"), "regression": fitted("zero_return")},
        view=VIEW,
        label=Label(),
        parity_rows=rows(1),
        metadata={},
        metrics={},
    )

    assert made.path.parent == tmp_path / "deep" / "models"
    assert made.training_set is None
