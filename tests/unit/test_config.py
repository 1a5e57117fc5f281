"""The rules of btcfs.config: precedence, origins, refusals, secrets."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

import pytest

from btcfs.config import MASK, SETTINGS, Config, load
from btcfs.errors import ConfigError


def configured(folder: Path, environ: dict[str, str] | None = None, **arguments: Any) -> Config:
    return load(cwd=folder, environ=environ or {}, **arguments)


def shown(config: Config) -> dict[str, tuple[Any, str]]:
    return {name: (value, origin) for name, value, origin in config.rows()}


def private(file: Path, text: str) -> Path:
    file.write_text(text)
    file.chmod(0o600)
    return file


def test_without_anything_the_defaults_hold(tmp_path: Path) -> None:
    """Without file, variable or argument each setting has its declared default and says so."""
    config = configured(tmp_path)

    assert {s.name: getattr(config, s.name) for s in SETTINGS} == {s.name: s.default for s in SETTINGS}
    assert {origin for _, origin in shown(config).values()} == {"default"}


def test_precedence(tmp_path: Path) -> None:
    """Argument goes before environment, before .env, before file, before default, each setting for itself."""
    (tmp_path / "btcfs.toml").write_text('symbol = "F"\ninterval = "1h"\ngroup = "f"\ncandles = "f"\n')
    private(tmp_path / ".env", "BTCFS_SYMBOL=D\nBTCFS_GROUP=d\nBTCFS_CANDLES=d\n")
    environ = {"BTCFS_SYMBOL": "E", "BTCFS_CANDLES": "e"}

    config = configured(tmp_path, environ, symbol="A")

    assert (config.symbol, config.candles, config.group, config.interval, config.version) == ("A", "e", "d", "1h", 1)


def test_origins_name_the_exact_place(tmp_path: Path) -> None:
    """Every value says which argument, variable, .env variable, or file and line it came from."""
    toml = tmp_path / "btcfs.toml"
    toml.write_text('# settings\ninterval = "1h"\n\n[backends.duckdb]\npath = "here"\n')
    private(tmp_path / ".env", "BTCFS_GROUP=d\n")

    rows = shown(configured(tmp_path, {"BTCFS_CANDLES": "e"}, symbol="A"))

    assert rows["symbol"] == ("A", "argument")
    assert rows["candles"] == ("e", "environment BTCFS_CANDLES")
    assert rows["group"] == ("d", ".env BTCFS_GROUP")
    assert rows["interval"] == ("1h", f"{toml}:2")
    assert rows["backends.duckdb.path"] == ("here", f"{toml}:5")


def test_pyproject_table_counts_when_there_is_no_btcfs_toml(tmp_path: Path) -> None:
    """[tool.btcfs] in pyproject.toml is read, other tables are not, and btcfs.toml goes before it."""
    (tmp_path / "pyproject.toml").write_text('[tool.other]\nsymbol = "X"\n[tool.btcfs]\nsymbol = "P"\n')
    before = configured(tmp_path).symbol
    (tmp_path / "btcfs.toml").write_text('symbol = "T"\n')

    assert (before, configured(tmp_path).symbol) == ("P", "T")


def test_only_the_working_folder_is_searched(tmp_path: Path) -> None:
    """A file in a parent folder has no effect."""
    (tmp_path / "btcfs.toml").write_text('symbol = "T"\n')
    (tmp_path / "inner").mkdir()

    assert configured(tmp_path / "inner").symbol == "BTC-USD"


def test_a_named_file_is_read_and_must_be_there(tmp_path: Path) -> None:
    """A file named by argument or BTCFS_CONFIG is read; a missing one is refused with its path."""
    file = tmp_path / "other.toml"
    file.write_text('symbol = "T"\n')

    assert load(file, environ={}, cwd=tmp_path).symbol == "T"
    assert configured(tmp_path, {"BTCFS_CONFIG": str(file)}).symbol == "T"
    with pytest.raises(ConfigError, match=r"gone\.toml"):
        load(tmp_path / "gone.toml", environ={})


def test_backend_and_source_options_from_variables(tmp_path: Path) -> None:
    """BTCFS_<BACKEND>_<OPTION> and BTCFS_SOURCE_<OPTION> are options; BTCFS_SOURCE names the source."""
    config = configured(
        tmp_path, {"BTCFS_DUCKDB_PATH": "p", "BTCFS_SOURCE": "csv", "BTCFS_SOURCE_PATH": "f", "OTHER": "x"}
    )

    assert config.backends == {"duckdb": {"path": "p"}}
    assert (config.source, config.source_options) == ("csv", {"path": "f"})


def test_source_is_a_name_or_a_table(tmp_path: Path) -> None:
    """source = "sample" and [source] with a name mean the same."""
    toml = tmp_path / "btcfs.toml"
    toml.write_text('source = "sample"\n')
    plain = configured(tmp_path)
    toml.write_text('[source]\nname = "sample"\nseed = 7\n')
    table = configured(tmp_path)

    assert (plain.source, plain.source_options) == ("sample", {})
    assert (table.source, table.source_options) == ("sample", {"seed": 7})


@pytest.mark.parametrize(
    ("environ", "toml", "needles"),
    [
        ({"BTCFS_SYMBOLL": "x"}, "", ["environment BTCFS_SYMBOLL", "'symboll'", "did you mean symbol?"]),
        ({}, 'bakend = "x"\n', ["btcfs.toml:1", "'bakend'", "did you mean backend?"]),
        ({}, '\n[backends.ducdb]\npath = "x"\n', ["btcfs.toml:3", "'ducdb'", "did you mean duckdb?"]),
        ({"BTCFS_VERSION": "two"}, "", ["environment BTCFS_VERSION", "'two'", "whole number"]),
        ({}, "version = 0\n", ["btcfs.toml:1", "0", "at least 1"]),
        ({}, "version = true\n", ["btcfs.toml:1", "True", "whole number"]),
        ({}, "symbol = 3\n", ["btcfs.toml:1", "3", "a text"]),
        ({}, "features = [1]\n", ["btcfs.toml:1", "a list of names"]),
        ({}, 'interval = "day"\n', ["btcfs.toml:1", "'day'", "1h"]),
        ({}, "backends = 3\n", ["btcfs.toml:1", "'backends'"]),
        ({}, "[backends]\nduckdb = 3\n", ["btcfs.toml", "backends.duckdb", "a table"]),
        ({}, "symbol = \n", ["btcfs.toml", "not TOML", "line 1"]),
    ],
)
def test_wrong_settings_are_refused_by_name_and_place(
    tmp_path: Path, environ: dict[str, str], toml: str, needles: list[str]
) -> None:
    """A wrong setting is refused with its place, its value, and what was expected or what is near."""
    (tmp_path / "btcfs.toml").write_text(toml)

    with pytest.raises(ConfigError) as caught:
        configured(tmp_path, environ)

    assert [needle for needle in needles if needle not in str(caught.value)] == []


def test_an_unknown_argument_is_refused(tmp_path: Path) -> None:
    """A misspelt argument is refused as a misspelt variable is."""
    with pytest.raises(ConfigError, match="did you mean symbol"):
        configured(tmp_path, symbl="x")


def test_lists_from_text(tmp_path: Path) -> None:
    """A list of names may be a list in a file and a text with commas in a variable."""
    (tmp_path / "btcfs.toml").write_text('features = ["rsi_14", "close"]\n')

    config = configured(tmp_path, {"BTCFS_BLOCK_PLUGINS": "one, two,"})

    assert (config.features, config.block_plugins) == (("rsi_14", "close"), ("one", "two"))


def test_an_empty_variable_counts_as_not_set(tmp_path: Path) -> None:
    """An empty variable leaves the setting as it was."""
    assert configured(tmp_path, {"BTCFS_SYMBOL": ""}).symbol == "BTC-USD"


def test_dotenv_is_not_exported(tmp_path: Path) -> None:
    """Reading .env changes no variable of the process and reads none to expand."""
    private(tmp_path / ".env", "BTCFS_SYMBOL=${HOME}\nUNRELATED=1\n")
    before = dict(os.environ)

    config = load(cwd=tmp_path, environ={})

    assert config.symbol == "${HOME}"
    assert dict(os.environ) == before


def test_dotenv_readable_by_others_is_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A .env that others may read is named in a warning with the command that closes it."""
    file = private(tmp_path / ".env", "BTCFS_SYMBOL=x\n")
    with caplog.at_level(logging.WARNING, logger="btcfs"):
        configured(tmp_path)
        quiet = list(caplog.messages)
        file.chmod(0o644)
        configured(tmp_path)

    assert quiet == []
    assert caplog.messages == [f"{file} can be read by other users; run: chmod 600 {file}"]


def test_secrets_are_never_shown(tmp_path: Path) -> None:
    """A secret option is masked in repr and in rows, whatever part of its name says so."""
    environ = {"BTCFS_DUCKDB_API_KEY": "hush", "BTCFS_SOURCE_PASSWORD": "hush", "BTCFS_SOURCE_MY_TOKEN": "hush"}

    config = configured(tmp_path, environ, backends={"memory": {"client_secret": "hush"}})

    assert config.backends["duckdb"]["api_key"] == "hush"
    assert "hush" not in repr(config) + repr(config.rows())
    assert shown(config)["backends.duckdb.api_key"][0] == MASK


def test_a_secret_from_a_file(tmp_path: Path) -> None:
    """api_key_file stands for api_key with the file's text, and its origin names the file."""
    secret = private(tmp_path / "key", "hush\n")

    config = configured(tmp_path, {"BTCFS_DUCKDB_API_KEY_FILE": str(secret)})

    assert config.backends["duckdb"] == {"api_key": "hush"}
    assert str(secret) in shown(config)["backends.duckdb.api_key"][1]
    with pytest.raises(ConfigError, match="cannot read the secret"):
        configured(tmp_path, {"BTCFS_DUCKDB_API_KEY_FILE": str(tmp_path / "gone")})


def test_a_secret_in_the_settings_file_is_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A secret in btcfs.toml is named in a warning, without its value."""
    (tmp_path / "btcfs.toml").write_text('[backends.duckdb]\napi_key = "hush"\n')
    with caplog.at_level(logging.WARNING, logger="btcfs"):
        configured(tmp_path)

    assert "backends.duckdb.api_key" in caplog.text
    assert "hush" not in caplog.text


def test_no_secret_in_an_error(tmp_path: Path) -> None:
    """An error about another setting does not show the secrets beside it."""
    with pytest.raises(ConfigError) as caught:
        configured(tmp_path, {"BTCFS_DUCKDB_API_KEY": "hush", "BTCFS_VERSION": "x"})

    assert "hush" not in str(caught.value)
