"""The rules of loading model bundles: every byte is checked, and nothing is executed."""

from __future__ import annotations

import io
import pickle
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from btcfs.errors import NotFound, SchemaError
from btcfs.training import bundle_files
from btcfs.training.bundle import Bundle, load_bundle

pytest.importorskip("sklearn", reason="scikit-learn is in the extra 'train'")

from bundles import edit, files_of, resum

pytest_plugins = ["bundles"]


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
