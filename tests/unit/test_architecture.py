"""The rules about what is imported, what is public, and what the packaging promises."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import btcfs
from distributions import run

ROOT = Path(__file__).parents[2]
HEAVY = {
    "duckdb",
    "numpy",
    "pandas",
    "pyarrow",
    "talib",
    "ccxt",
    "sklearn",
    "hopsworks",
    "feast",
    "polars",
    "pyspark",
    "ray",
}
MODULES = "import sys, json; {code}; print(json.dumps(sorted({{m.partition('.')[0] for m in sys.modules}})))"

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def packages_after(code: str, tmp_path: Path) -> set[str]:
    done = run(MODULES.format(code=code), tmp_path)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


def project() -> dict[str, object]:
    content: dict[str, object] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return content


def test_import_btcfs_loads_no_third_party_package(tmp_path: Path) -> None:
    """import btcfs loads itself and parts of the standard library, nothing else."""
    loaded = packages_after("import btcfs", tmp_path) - packages_after("pass", tmp_path)

    assert loaded - sys.stdlib_module_names == {"btcfs"}


def test_help_loads_no_data_library_and_no_plugin(tmp_path: Path) -> None:
    """btcfs --help loads click, and neither pandas, an engine, rich, pluggy nor a plugin."""
    code = "from btcfs.cli import main; main(['--help'], standalone_mode=False)"

    loaded = packages_after(code, tmp_path)

    assert "click" in loaded
    assert loaded & (HEAVY | {"rich", "pluggy", "btcfs_ta", "btcfs_sources", "btcfs_duckdb"}) == set()


def test_contracts_and_plugin_loading_import_no_pandas(tmp_path: Path) -> None:
    """The contract modules, the configuration and the loading of plugins work without pandas and vendor SDKs."""
    names = "backends catalogue config connection definitions errors hookspecs indicators instants keys models plugins"
    code = "; ".join(f"import btcfs.{name}" for name in [*names.split(), "settings", "sources", "store"])

    assert packages_after(code, tmp_path) & HEAVY == set()


def test_all_equals_the_public_names(tmp_path: Path) -> None:
    """Every name in btcfs.__all__ can be had, is listed by dir(), and is announced to type checkers."""
    tree = ast.parse(Path(str(btcfs.__file__)).read_text())
    announced = {a.asname for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) for a in n.names if a.asname}

    assert [name for name in btcfs.__all__ if not hasattr(btcfs, name)] == []
    assert announced == set(btcfs.__all__) - {"__version__"}
    assert set(btcfs.__all__) <= set(dir(btcfs))
    public = {n for n in dir(btcfs) if not n.startswith("_")}
    modules = {n for n in public if f"btcfs.{n}" in sys.modules}
    assert public - modules - set(btcfs.__all__) <= {"annotations", "import_module", "TYPE_CHECKING", "Any"}


def test_an_unknown_name_is_an_attribute_error() -> None:
    """A name that btcfs has not is refused as any module refuses it."""
    with pytest.raises(AttributeError, match="no attribute 'FeatureShop'"):
        _ = btcfs.FeatureShop


def test_import_contracts_hold() -> None:
    """The import contracts of pyproject.toml hold: layers downwards only, no backend or plugin in the core."""
    pytest.importorskip("importlinter", reason="import-linter is in the extra 'test'")
    code = (
        "import sys; sys.path[:0] = ['.', 'backends', 'plugins']; from importlinter.cli import lint_imports;"
        " sys.exit(lint_imports(no_cache=True))"
    )

    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr


def test_oldest_pins_are_the_lower_bounds() -> None:
    """.ci/oldest.txt pins exactly the lower bounds that pyproject.toml states."""
    lines = (ROOT / ".ci" / "oldest.txt").read_text().splitlines()
    pins = dict(line.split("==") for line in lines if line and not line.startswith("#"))
    bounds = {}
    for requirement in project()["dependencies"]:
        name, bound = re.match(r"([A-Za-z0-9_-]+)>=([0-9.]+)", requirement).groups()
        bounds[name] = bound

    assert {name: _numbers(pin) for name, pin in pins.items()} == {name: _numbers(b) for name, b in bounds.items()}


def test_no_upper_bounds() -> None:
    """No dependency has an upper bound without a reason beside it; the one that has is for Python 3.10 only."""
    capped = [r for r in project()["dependencies"] if "<" in r.partition(";")[0]]

    assert capped == ["ta-lib>=0.8,<0.8.2; python_version < '3.11'"]


def test_entry_points_lead_to_something() -> None:
    """Each entry point that btcfs announces can be imported."""
    points = project()["entry-points"]
    code = "; ".join(f"import {target.partition(':')[0]}" for group in points.values() for target in group.values())

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr


def test_the_readme_has_the_two_commands() -> None:
    """The README has the command of the main job and that of the tests, each one line, where .ci/run looks for them."""
    readme = (ROOT / "README.md").read_text()
    commands = re.findall(r"^<!-- (demo|tests) -->\n\n    (python3 -m venv .+)\n\n", readme, re.MULTILINE)

    assert [name for name, _ in commands] == ["demo", "tests"]


def test_the_workflow_runs_the_tox_environments() -> None:
    """The GitHub workflow runs exactly the environments that tox runs by default."""
    listed = re.search(r"^env_list = (.+)$", (ROOT / "tox.ini").read_text(), re.MULTILINE)[1]
    factors = re.search(r"\{([^}]*)\}", listed)[1].split(",")
    names = re.sub(r"\{[^}]*\}", "*", listed).split(", ")
    expected = {e for name in names for e in ([name.replace("*", f) for f in factors] if "*" in name else [name])}
    workflow = (ROOT / ".github" / "workflows" / "ci.yml").read_text()

    assert set(re.findall(r"\{ env: ([\w-]+),", workflow)) == expected


def _numbers(version: str) -> tuple[int, ...]:
    parts = [int(part) for part in version.split(".")]
    while parts and parts[-1] == 0:
        parts.pop()
    return tuple(parts)
