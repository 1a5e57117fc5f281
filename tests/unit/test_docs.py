"""The rule that what the documentation says is so: its code runs, its commands exist, and nothing public is left out."""

from __future__ import annotations

import importlib
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest

from btcfs import hookspecs
from btcfs.capabilities import markdown
from btcfs.cli import main
from btcfs.config import SETTINGS, load
from btcfs.connection import backends, connect
from btcfs.errors import ConfigError
from btcfs.store import Capability

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
NEEDED = {
    "docs/hopsworks-emulator.md": "confluent_kafka"
}  # the module of an extra, without which the page's code stops
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)


def blocks(page: Path, language: str) -> list[str]:
    """The page's fenced blocks of a language, without their indentation."""
    found = [(m[1], m[3]) for m in FENCE.finditer(page.read_text(encoding="utf-8")) if m[2] == language]
    return ["\n".join(line.removeprefix(indent) for line in code.splitlines()) for indent, code in found]


def clean_environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("BTCFS_")}


def page_id(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", [p for p in PAGES if blocks(p, "python")], ids=page_id)
def test_python_blocks_run(page: Path, tmp_path: Path) -> None:
    """The Python blocks of a page run one after another as one program, in an empty folder."""
    if needed := NEEDED.get(page_id(page)):
        pytest.importorskip(needed, reason=f"{page_id(page)} is about an extra that is not installed")
    code = "\n\n".join(blocks(page, "python"))

    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=clean_environment(), capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, f"{page_id(page)}:\n{done.stderr}"


@pytest.mark.parametrize("example", EXAMPLES, ids=page_id)
def test_examples_run(example: Path, tmp_path: Path) -> None:
    """Each example runs to its end in an empty folder."""
    done = subprocess.run(
        [sys.executable, str(example)],
        cwd=tmp_path,
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr


def test_the_settings_file_of_the_docs_is_valid(tmp_path: Path) -> None:
    """The btcfs.toml shown in configuration.md is accepted and shows every plain setting."""
    [text] = blocks(ROOT / "docs" / "configuration.md", "toml")
    (tmp_path / "btcfs.toml").write_text(text)

    config = load(environ={}, cwd=tmp_path)

    assert {setting.name for setting in SETTINGS} <= set(config.origins)


def test_every_hook_capability_and_setting_is_in_the_readme() -> None:
    """The README names every hook, capability and setting, each in code type."""
    hooks = [name for name in vars(hookspecs) if name.startswith("btcfs_")]
    readme = (ROOT / "README.md").read_text()
    variables = [f"BTCFS_{setting.name.upper()}" for setting in SETTINGS]

    named = [*hooks, *(c.value for c in Capability), *(s.name for s in SETTINGS), *variables]

    assert len(hooks) >= 5
    assert [name for name in named if f"`{name}`" not in readme] == []


def test_every_hook_is_explained() -> None:
    """plugins.md has each hook with its arguments, in a table and in code."""
    page = (ROOT / "docs" / "plugins.md").read_text()
    hooks = {name: item for name, item in vars(hookspecs).items() if name.startswith("btcfs_")}
    shown = [f"`{name}({', '.join(_arguments(hook))})`" for name, hook in hooks.items()]

    assert [text for text in shown if text not in page] == []
    assert [name for name in hooks if f"def {name}(" not in page] == []


def _arguments(function: object) -> list[str]:
    code = function.__code__
    return list(code.co_varnames[: code.co_argcount])


def test_the_capability_table_is_what_the_backends_declare() -> None:
    """The table in backends.md is what ``btcfs backends --markdown`` prints of the backends that are shipped."""
    page = (ROOT / "docs" / "backends.md").read_text().partition("<!-- capabilities -->")[2]
    shipped = [info for info in backends() if info.distribution == "btcfs"]

    assert [info.name for info in shipped if info.capabilities is None] == []
    assert markdown([(info.name, info.capabilities) for info in shipped]) in page


@pytest.mark.parametrize("name", ["duckdb", "memory"])
def test_an_open_store_declares_what_its_backend_does(name: str, tmp_path: Path) -> None:
    """What is told of a backend without opening a store is what its stores declare."""
    [told] = [info.capabilities for info in backends() if info.name == name]
    with connect(name, **({"path": tmp_path} if name == "duckdb" else {})) as store:
        assert told == {capability.value: capability in store.capabilities for capability in Capability}


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_commands_exist(page: Path) -> None:
    """Every btcfs command and option that a page shows exists."""
    text = page.read_text()
    lines = [line for b in blocks(page, "console") for line in b.splitlines()]
    lines += [m[1] for m in re.finditer(r"`(btcfs [a-z][^`]*)`", text)]
    shown = [line.removeprefix("$ ").partition("#")[0].strip() for line in lines]

    assert [line for line in shown if line.startswith("btcfs ") and not _exists(line)] == []


def _exists(line: str) -> bool:
    """Whether the words lead to a command of the table, and its options are known; --mode NAME stands for NAME."""
    line = line.replace("--mode ", "")
    command: click.Command = main
    options = {opt for p in command.params for opt in p.opts} | {"--help"}
    for word in shlex.split(line)[1:]:
        if word.startswith("-"):
            if word not in options:
                return False
        elif isinstance(command, click.Group) and word.islower() and not word.endswith(".toml"):
            found = command.get_command(click.Context(command), word)
            if found is None:
                return word == "memory"  # the value of --backend
            command = found
            options |= {opt for p in command.params for opt in p.opts}
    return True


def test_the_exit_codes_of_the_docs_are_those_of_the_code() -> None:
    """The table of exit codes in cli.md names each error beside the code that it has."""
    from btcfs import errors
    from btcfs.cli.failures import exit_code

    page = (ROOT / "docs" / "cli.md").read_text()
    table = dict(re.findall(r"^\| (\d) \| [^|]* \| ([^|]*) \|$", page, re.MULTILINE))
    for name, kind in vars(errors).items():
        if isinstance(kind, type) and name != "BtcfsError":
            error = kind(2, 1) if name == "InsufficientHistory" else kind("x")
            assert f"`{name}`" in table[str(exit_code(error))]


def test_links_lead_somewhere() -> None:
    """Every relative link of a page leads to a file or folder that is there."""
    broken = []
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            if not (page.parent / target).exists():
                broken.append(f"{page_id(page)} -> {target}")

    assert broken == []


def test_a_misspelt_setting_is_refused_as_documented() -> None:
    """The example of a mistake in configuration.md is what really happens."""
    with pytest.raises(ConfigError, match="did you mean symbol"):
        load(environ={"BTCFS_SYMBOLL": "x"})


def test_every_public_name_has_a_docstring() -> None:
    """Every name in btcfs.__all__ says what it is."""
    package = importlib.import_module("btcfs")

    assert [n for n in package.__all__ if not n.startswith("__") and not getattr(package, n).__doc__] == []
