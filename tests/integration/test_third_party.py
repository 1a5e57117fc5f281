"""The rule that a stranger's distribution takes part once it is installed, without being named anywhere."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from distributions import btcfs, command, run

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "third_party" / "btcfs-donchian"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which pip has installed the example, as a user would install it."""
    pytest.importorskip("hatchling", reason="hatchling, which builds the example, is in the extra 'test'")
    source = tmp_path_factory.mktemp("source") / "btcfs-donchian"
    shutil.copytree(EXAMPLE, source, ignore=shutil.ignore_patterns("__pycache__"))
    target = tmp_path_factory.mktemp("site")
    arguments = ["--no-deps", "--no-build-isolation", "--no-index", "--target", str(target), str(source)]
    done = subprocess.run(
        [sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return target


def test_its_feature_is_in_the_catalogue(site: Path) -> None:
    """The installed plugin's feature is listed with what it declares."""
    done = btcfs("features", "list", "--json", site=site)

    rows = {row["feature"]: row for row in json.loads(done.stdout)}
    row = rows["donchian_width_20"]
    assert row["plugin"] == "donchian"
    assert (row["unit"], row["lookback"], row["inputs"], row["memory"]) == ("%", 19, ["high", "low"], "finite")


def test_it_is_named_nowhere_else() -> None:
    """No file of btcfs itself, of its backends or of its plugins mentions the example."""
    files = [f for folder in ("btcfs", "backends", "plugins") for f in (ROOT / folder).rglob("*.py")]

    assert len(files) > 20
    assert [str(f) for f in [*files, ROOT / "pyproject.toml"] if "donchian" in f.read_text().lower()] == []


def test_the_plugin_list_shows_it(site: Path) -> None:
    """plugins list names the plugin, its distribution and its module."""
    rows = json.loads(btcfs("plugins", "list", "--json", site=site).stdout)

    assert [(r["distribution"], r["module"], r["error"]) for r in rows if r["name"] == "donchian"] == [
        ("btcfs-donchian", "btcfs_donchian", None)
    ]


def test_it_certifies(site: Path) -> None:
    """plugins check finds nothing wrong with the example."""
    done = btcfs("plugins", "check", "donchian", "--json", site=site)

    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout)["indicators"] == {"donchian_width_20": []}


def test_its_own_tests_pass(site: Path, tmp_path: Path) -> None:
    """The example's own test file, which subclasses the indicator kit, passes against the installed plugin."""
    shutil.copy(EXAMPLE / "test_donchian.py", tmp_path)

    done = command(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_donchian.py"], site, cwd=tmp_path
    )

    assert done.returncode == 0, done.stdout + done.stderr


def test_its_observers_are_called(site: Path) -> None:
    """Rows go past btcfs_validate before, and the report to btcfs_committed after a commit."""
    code = """
import logging, sys
import pandas as pd
from btcfs import Feature, FeatureGroup, SchemaError, WriteReport
from btcfs.plugins import installed_plugins

logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(name)s %(message)s")
group = FeatureGroup("g", 1, [Feature("donchian_width_20")])
plugins = installed_plugins()
plugins.validate(group, pd.DataFrame({"donchian_width_20": [1.0]}))
assert plugins.committed(group, WriteReport("g", 1, 3, 2, 0)) == []
try:
    plugins.validate(group, pd.DataFrame({"donchian_width_20": [-1.0]}))
except SchemaError as exc:
    print(exc)
"""
    done = run(code, site)

    assert done.returncode == 0, done.stderr
    assert "btcfs_donchian g v1: 3 rows inserted, 2 updated" in done.stdout
    assert "plugin 'donchian' refuses the rows for g v1: donchian_width_20 is negative in 1 rows" in done.stdout
