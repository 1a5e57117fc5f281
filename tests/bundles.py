"""A saved model bundle, a copy of it to be spoiled, and ways to spoil it."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from btcfs.training.bundle import Bundle
from trained import bundle

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
