"""The rules of model bundles: whole or absent, every byte checked, nothing executed, nothing beside their folder touched."""

from __future__ import annotations

import hashlib
import io
import json
import pickle
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from btcfs.definitions import FeatureView, Label
from btcfs.errors import CheckFailed, DefinitionError, NotFound, SchemaError
from btcfs.training import bundle_files
from btcfs.training.bundle import Bundle, load_bundle, save_bundle
from btcfs.training.manifest import read_manifest
from trained import FEATURES, VIEW, bundle, fitted, rows

pytest.importorskip("sklearn", reason="scikit-learn is in the extra 'train'")


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A bundle that no test changes."""
    return bundle(tmp_path_factory.mktemp("models"), "random_forest", "hist_gradient_boosting_regressor")


@pytest.fixture
def copy(saved: Bundle, tmp_path: Path) -> Path:
    """A copy of the bundle's folder, to be spoiled."""
    return Path(shutil.copytree(saved.path, tmp_path / saved.version))


def files_of(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def resum(folder: Path) -> None:
    """Write the list of sums anew, as somebody does who spoils a bundle on purpose."""
    names = sorted(p.relative_to(folder).as_posix() for p in files_of(folder) if p.name != "SHA256SUMS")
    lines = [f"{hashlib.sha256((folder / name).read_bytes()).hexdigest()}  {name}\n" for name in names]
    (folder / "SHA256SUMS").write_text("".join(lines))


def edit(folder: Path, change: Any) -> None:
    content = json.loads((folder / "bundle.json").read_text())
    change(content)
    (folder / "bundle.json").write_text(json.dumps(content))
    resum(folder)


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


def test_one_byte_is_enough(copy: Path) -> None:
    """A bundle of which any one byte was changed, anywhere, is refused."""
    chance = np.random.default_rng(0)
    accepted = []
    for path in files_of(copy):
        original = path.read_bytes()
        every = range(len(original)) if len(original) < 500 else chance.integers(len(original), size=60)
        for at in every:
            spoiled = bytearray(original)
            spoiled[at] ^= 1 << int(chance.integers(8))
            path.write_bytes(bytes(spoiled))
            try:
                load_bundle(copy)
            except SchemaError:
                continue
            accepted.append((path.name, int(at)))
        path.write_bytes(original)

    assert accepted == []
    load_bundle(copy)


def test_a_changed_file_is_named(copy: Path) -> None:
    """The message names the file that is not what was saved."""
    (copy / "classification.npz").write_bytes(b"x")

    with pytest.raises(SchemaError, match=r"classification\.npz is not the file that was saved"):
        load_bundle(copy)


def test_a_missing_file_is_named(copy: Path) -> None:
    """The message names the file that is gone; a folder without a bundle is not found."""
    (copy / "regression.npz").unlink()
    with pytest.raises(SchemaError, match=r"regression\.npz is missing"):
        load_bundle(copy)

    shutil.rmtree(copy)
    with pytest.raises(NotFound, match="holds no model bundle"):
        load_bundle(copy)


def test_another_bundle_in_its_place(saved: Bundle, copy: Path) -> None:
    """A bundle that is sound but not the one that the manifest lists is refused by its digest."""
    edit(copy, lambda content: content["metadata"].update(models="better"))

    assert load_bundle(copy).metadata["models"] == "better"
    with pytest.raises(SchemaError, match="not the bundle that the manifest lists"):
        load_bundle(copy, saved.digest)


def test_a_renamed_bundle_is_refused(copy: Path) -> None:
    """A bundle under another version's name is refused."""
    other = copy.rename(copy.parent / "v20000101T000000Z")

    with pytest.raises(SchemaError, match="was renamed"):
        load_bundle(other)


@pytest.mark.parametrize(
    "change",
    [
        lambda c: c.update(format=2),
        lambda c: c.pop("view"),
        lambda c: c["view"].update(features=c["view"]["features"][::-1]),
        lambda c: c["view"].update(features=c["view"]["features"][:-1]),
        lambda c: c["label"].update(horizon=0),
        lambda c: c["label"].update(surprise=1),
        lambda c: c["classification"].update(width=3),
        lambda c: c["classification"].update(task="regression"),
        lambda c: c["classification"].update(form="pickle"),
        lambda c: c["classification"].update(count=10**9),
        lambda c: c["classification"].update(count=1),
        lambda c: c["classification"].update(divisor=0.0),
        lambda c: c["classification"].update(scaling=["eval"]),
        lambda c: c["classification"].update(link="exec"),
        lambda c: c.update(classification=None),
    ],
)
def test_a_description_that_cannot_be(copy: Path, change: Any) -> None:
    """A bundle whose sums are right but whose description is not is refused in words, not in a traceback."""
    edit(copy, change)

    with pytest.raises(SchemaError):
        load_bundle(copy)


@pytest.mark.parametrize(
    ("name", "at", "value"),
    [
        ("left", 0, 10**9),
        ("left", 5, -1),
        ("left", 30, 1),
        ("left", 20, 19),
        ("feature", 3, 6),
        ("feature", 3, -1),
        ("threshold", 0, np.nan),
        ("value", 40, np.inf),
    ],
)
def test_trees_that_lead_astray(copy: Path, name: str, at: int, value: float) -> None:
    """Tree arrays that would lead the walk out of its bounds, in a circle or to no number are refused."""
    path = copy / "classification.npz"
    arrays = dict(np.load(path))
    arrays[name][at] = value
    path.write_bytes(bundle_files.arrays_to_bytes(arrays))
    resum(copy)

    with pytest.raises(SchemaError, match="trees have"):
        load_bundle(copy)


class _Bomb:
    def __reduce__(self) -> Any:
        return (Path.touch, (Path("went_off"),))


def test_pickles_are_not_opened(copy: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A pickle in place of the arrays, or within them, is refused and not executed."""
    monkeypatch.chdir(tmp_path)
    path = copy / "classification.npz"
    within = io.BytesIO()
    np.savez(within, left=np.array([_Bomb()], dtype=object))
    for content in (pickle.dumps(_Bomb()), within.getvalue()):
        path.write_bytes(content)
        resum(copy)

        with pytest.raises(SchemaError, match="not a file of plain arrays"):
            load_bundle(copy)
        assert not Path("went_off").exists()


def test_nothing_is_saved_on_a_flip(tmp_path: Path) -> None:
    """When the compiled model differs from its estimator, the bundle is refused and no trace of it remains."""
    pipeline = fitted("logistic")
    scaler = pipeline[0]

    class Shifted(type(scaler)):  # type: ignore[misc]
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
