"""The rules of copying a models folder: whole, checked, and never over something else."""

from __future__ import annotations

from pathlib import Path

import pytest

from btcfs.errors import CheckFailed, ConfigError, NotFound, SchemaError, StoreUnavailable
from btcfs.training.dataset_files import read_training_set, write_training_set
from btcfs.training.gate import REQUIRED, GateCheck
from btcfs.training.registry import Registry
from btcfs.transfer.models import DRAFT, copy_models
from small_disk import fill, mounted
from trained import bundle
from training_sets import made, market

pytest.importorskip("sklearn", reason="scikit-learn is in the extra 'train'")

GREEN = [GateCheck(name, True, "as it should be") for name in REQUIRED]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Three versions, the second active after the first, and a training set with a split."""
    folder = tmp_path / "source"
    names = [bundle(folder, "majority", "zero_return", seed=seed).version for seed in range(3)]
    for name in names[:2]:
        Registry(folder).activate(name, checks=GREEN)
    write_training_set(made(*market(0.6, 1, rows=200)), folder, {"kind": "expanding"})
    return folder


def test_all_of_it_goes_along(source: Path, tmp_path: Path) -> None:
    """Versions with their digests, which is active and what was before, training sets and splits are in the copy."""
    target = tmp_path / "deep" / "target"
    planned = copy_models(source, target, dry_run=True)
    assert not target.exists()

    done = copy_models(source, target)

    assert done == planned
    assert len(done.versions) == 3
    assert Registry(target).versions() == Registry(source).versions()
    assert Registry(target).active_version() == Registry(source).active_version() == done.active
    assert Registry(target).rollback_target() == Registry(source).rollback_target()
    [digest] = done.training_sets
    assert read_training_set(target, digest).hash == digest
    assert {p.name for p in (target / "datasets" / digest).iterdir()} == {
        p.name for p in (source / "datasets" / digest).iterdir()
    }


def test_again_and_later(source: Path, tmp_path: Path) -> None:
    """A second copy brings only what is new: a version, an activation, a split of a known training set."""
    target = tmp_path / "target"
    [digest] = copy_models(source, target).training_sets
    assert (copy_models(source, target).versions, copy_models(source, target).present) == ((), 4)
    newest = bundle(source, "majority", "zero_return", seed=9).version
    Registry(source).activate(newest, checks=GREEN)
    write_training_set(read_training_set(source, digest), source, {"kind": "rolling"})

    assert copy_models(source, target).versions == (newest,)
    assert Registry(target).active_version() == newest
    assert len(list((target / "datasets" / digest).glob("split-*.json"))) == 2


def test_other_models_are_refused(source: Path, tmp_path: Path) -> None:
    """A target with another model of one name, or activations of its own, is left as it is."""
    version = Registry(source).versions()[0].version
    for number in range(2):
        target = tmp_path / f"target{number}"
        bundle(target, "majority", "zero_return", seed=8, version=version if number else "v20200101T000000Z")
        if not number:
            Registry(target).activate("v20200101T000000Z", checks=GREEN)
        before = sorted(target.rglob("*"))
        with pytest.raises(CheckFailed, match="nothing was written"):
            copy_models(source, target)
        assert [path for path in sorted(target.rglob("*")) if "lock" not in path.name] == [
            path for path in before if "lock" not in path.name
        ]


def test_a_damaged_model_is_not_copied(source: Path, tmp_path: Path) -> None:
    """A version whose bytes are not what was saved stops the copy before it is in the target."""
    version = Registry(source).versions()[0].version
    with (source / version / "classification.npz").open("r+b") as file:
        file.write(b"xx")
    with pytest.raises(SchemaError, match="SHA-256 differs"):
        copy_models(source, tmp_path / "target")

    assert not (tmp_path / "target" / version).exists()


def test_a_full_disk(source: Path, tmp_path: Path) -> None:
    """A folder without room is an error that says so and gets nothing half; with room made, the same call completes it."""
    with mounted(4) as disk:
        filler = fill(disk, 40_000)
        with pytest.raises(StoreUnavailable, match=r"No space left.*the same command goes on"):
            copy_models(source, disk / "target")
        filler.unlink()
        assert not list(disk.rglob(f"{DRAFT}*"))
        copy_models(source, disk / "target")

        assert Registry(disk / "target").versions() == Registry(source).versions()


def test_wrong_folders(source: Path, tmp_path: Path) -> None:
    """A folder that is not there, or is the target itself, is an error."""
    with pytest.raises(NotFound, match="no models folder"):
        copy_models(tmp_path / "nowhere", tmp_path / "target")
    with pytest.raises(ConfigError, match="name two"):
        copy_models(source, source)
