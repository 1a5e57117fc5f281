"""The rules of version names: the second of the training, and never one that is taken, announced or lost."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from btcfs.errors import DefinitionError
from btcfs.training.manifest import read_manifest
from btcfs.training.version_names import reserved_version
from trained import bundle

pytest.importorskip("sklearn", reason="scikit-learn is in the extra 'train'")


def saved(folder: Path, **options: str) -> str:
    return bundle(folder, "majority", "zero_return", **options).version


def test_a_name_that_a_training_announced_is_not_taken_from_it(tmp_path: Path) -> None:
    """While a training holds its name, bundles saved meanwhile get others, and the training's own is saved under it."""
    with reserved_version(tmp_path) as name:
        others = {saved(tmp_path) for _ in range(3)}
        own = saved(tmp_path, version=name)

    assert own == name
    assert name not in others
    assert len(others) == 3


def test_the_name_of_a_lost_folder_stays_taken(tmp_path: Path) -> None:
    """A listed version whose folder is gone keeps its name, so that no name ever means two models."""
    first = saved(tmp_path)
    shutil.rmtree(tmp_path / first)

    again = saved(tmp_path)

    assert again != first
    assert [entry.version for entry in read_manifest(tmp_path).entries] == [first, again]
    with pytest.raises(DefinitionError, match="exists"):
        saved(tmp_path, version=first)


def test_no_claim_is_left_behind(tmp_path: Path) -> None:
    """After saving, and after a training that failed, the folder has no announced names."""
    saved(tmp_path)
    with pytest.raises(RuntimeError), reserved_version(tmp_path):
        raise RuntimeError("the training failed")

    assert list(tmp_path.glob(".claim-*")) == []


def test_a_wanted_name_is_had_or_refused(tmp_path: Path) -> None:
    """Who asks for a name gets that one, or an error if it is a version's or another training holds it."""
    with reserved_version(tmp_path, "v20251206T120000Z") as name:
        assert name == "v20251206T120000Z"
        with (
            pytest.raises(DefinitionError, match="v20251206T120000Z exists"),
            reserved_version(tmp_path, "v20251206T120000Z"),
        ):
            pass
        saved(tmp_path, version=name)

    with pytest.raises(DefinitionError, match="exists"), reserved_version(tmp_path, name):
        pass
