"""The rules of the command line around its commands: help, options, messages, exit codes, JSON."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from importlib import import_module
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from btcfs import errors
from btcfs.cli import COMMANDS, console, main
from btcfs.cli.failures import exit_code
from btcfs.errors import BtcfsError, InsufficientHistory
from distributions import btcfs

CODES = {
    "AuthError": 2,
    "ConfigError": 2,
    "Unsupported": 2,
    "CheckFailed": 1,
    "DefinitionError": 3,
    "InsufficientHistory": 3,
    "SchemaError": 3,
    "StoreBusy": 4,
    "StoreUnavailable": 4,
    "NotFound": 5,
}


def test_every_error_has_its_exit_code() -> None:
    """Each error class maps to its documented exit code, and no class is without one."""
    classes = {name: item for name, item in vars(errors).items() if isinstance(item, type) and name != "BtcfsError"}

    raised = {name: kind(3, 2) if kind is InsufficientHistory else kind("x") for name, kind in classes.items()}

    assert {name: exit_code(error) for name, error in raised.items()} == CODES


def test_every_command_of_the_table_exists() -> None:
    """Every command in the table can be imported, is a click command, and has --json somewhere."""
    lacking = []
    for name, (module, _) in COMMANDS.items():
        command = import_module(module).command
        leaves = list(command.commands.values()) if isinstance(command, click.Group) else [command]
        if not all(any("--json" in p.opts for p in leaf.params) for leaf in leaves):
            lacking.append(name)

    assert lacking == []


def test_help_lists_every_command() -> None:
    """--help lists each command of the table with its help."""
    text = CliRunner().invoke(main, ["--help"], terminal_width=200).output

    assert [name for name, (_, help_text) in COMMANDS.items() if name not in text or help_text not in text] == []


def test_an_unknown_command_is_a_usage_error() -> None:
    """A misspelt command is exit code 2."""
    assert CliRunner().invoke(main, ["injest"]).exit_code == 2


def test_an_error_is_one_message_without_a_traceback(tmp_path: Path) -> None:
    """An error prints its one message to stderr and nothing to stdout; --debug shows the traceback."""
    plain = btcfs("--backend", "ducdb", "store", "info", site=tmp_path)
    debug = btcfs("--debug", "--backend", "ducdb", "store", "info", site=tmp_path)

    assert (plain.returncode, plain.stdout) == (2, "")
    assert plain.stderr.startswith("btcfs: no backend named 'ducdb'; installed: ")
    assert len(plain.stderr.splitlines()) == 1
    assert "Traceback" in debug.stderr


def test_config_show_gives_values_and_origins(tmp_path: Path) -> None:
    """config show --json gives each setting's value and origin, the global options being arguments."""
    (tmp_path / "other.toml").write_text('symbol = "X-Y"\n')

    done = btcfs("--config", "other.toml", "--backend", "memory", "config", "show", "--json", site=tmp_path)

    value = json.loads(done.stdout)
    assert value["symbol"] == {"value": "X-Y", "origin": "other.toml:1"}
    assert value["backend"] == {"value": "memory", "origin": "argument"}
    assert value["version"] == {"value": 1, "origin": "default"}


def test_config_init_writes_a_file_that_changes_nothing(tmp_path: Path) -> None:
    """config init writes a btcfs.toml under which every setting keeps its default, and never replaces another one."""
    first = btcfs("config", "init", site=tmp_path)
    again = btcfs("config", "init", "--json", site=tmp_path)
    shown = json.loads(btcfs("config", "show", "--json", site=tmp_path).stdout)
    (tmp_path / "btcfs.toml").write_text('symbol = "mine"\n')
    refused = btcfs("config", "init", site=tmp_path)

    assert (first.returncode, again.returncode) == (0, 0)
    assert {row["origin"] for row in shown.values()} == {"default"}
    assert refused.returncode == 2
    assert (tmp_path / "btcfs.toml").read_text() == 'symbol = "mine"\n'
    assert btcfs("config", "init", "--force", site=tmp_path).returncode == 0


def test_config_init_uncommented_is_valid(tmp_path: Path) -> None:
    """Every line that config init leaves behind a # is a setting as it would have to be written."""
    btcfs("config", "init", site=tmp_path)
    file = tmp_path / "btcfs.toml"
    lines = [line[2:] if line.startswith("# ") and " = " in line else line for line in file.read_text().splitlines()]
    file.write_text("\n".join(lines))

    shown = btcfs("config", "show", "--json", site=tmp_path)

    assert shown.returncode == 0, shown.stderr
    assert json.loads(shown.stdout)["symbol"]["value"] == "BTC-USD"


def test_json_of_every_kind_of_value(capsys: pytest.CaptureFixture[str]) -> None:
    """Instants become ISO 8601, sets are sorted, NaN is null, paths are text; anything else is refused."""
    instant = datetime(2024, 1, 31, tzinfo=timezone.utc)
    console.show_json({"at": instant, "set": {"b", "a"}, "nan": float("nan"), "path": Path("p"), "t": (1, 2.5, None)})

    assert json.loads(capsys.readouterr().out) == {
        "at": "2024-01-31T00:00:00+00:00",
        "set": ["a", "b"],
        "nan": None,
        "path": "p",
        "t": [1, 2.5, None],
    }
    with pytest.raises(TypeError, match="no JSON form"):
        console.show_json(object())


def test_tables_in_a_pipe_are_not_cut(capsys: pytest.CaptureFixture[str]) -> None:
    """Without a terminal a long cell stays on its line, and markup in data is shown as it is."""
    console.table(("name", "text"), [("a", "x" * 300), ("b", "[red]")])

    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert "x" * 300 in lines[1]
    assert "[red]" in lines[2]


def test_btcfs_error_is_the_root() -> None:
    """One except clause catches everything that btcfs raises on purpose."""
    assert [name for name in CODES if not issubclass(getattr(errors, name), BtcfsError)] == []
