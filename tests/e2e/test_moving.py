"""The commands that move between stores, as a user runs them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from click.testing import CliRunner, Result

from btcfs import connect
from btcfs.catalogue import find_group, find_view
from btcfs.cli import main
from btcfs.transfer.shadow import ShadowStore

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs btcfs in a folder with a small store; the result's exit code is as expected or the test fails."""
    monkeypatch.chdir(tmp_path)

    def invoke(*arguments: str, code: int = 0) -> Result:
        result = CliRunner().invoke(main, list(arguments))
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == code, result.output
        return result

    invoke("ingest", "historical", "--source", "sample", "--days", "40")
    return invoke


def parsed(result: Result) -> Any:
    return json.loads(result.stdout)


def changed(path: Path) -> None:
    """Make one value of the store's features another one."""
    with connect("duckdb", path=path) as store:
        group = find_group(store.definitions(), "bitcoin_features")
        rows = store.read(group)
        store.write(group, rows.iloc[[7]].assign(rsi_14=rows["rsi_14"].iloc[7] + 1.0))


def test_plan_copy_compare(run: Run, tmp_path: Path) -> None:
    """A dry run writes nothing; a copy equals its source; run again it copies nothing; a change is found, with exit code 1."""
    plan = parsed(run("copy", "--to", "duckdb:new", "--dry-run", "--json"))["store"]
    assert not list(tmp_path.glob(".btcfs-copy-*"))
    assert [group["rows"] for group in plan["groups"]][1:] == [40, 47]
    assert plan["bytes"] > 40 * 47 * 8

    assert "✓ copied" in run("copy", "--to", "duckdb:new").output
    assert parsed(run("copy", "--to", "duckdb:new", "--json"))["store"]["rows"] == 0
    assert "no difference" in run("diff", "duckdb", "duckdb:new").output
    changed(tmp_path / "new")
    text = run("diff", "duckdb", "duckdb:new", code=1).output
    assert "rsi_14" in text
    assert "roc" not in text
    [group] = [g for g in parsed(run("diff", "duckdb", "duckdb:new", "--json", code=1))["groups"] if not g["equal"]]
    assert [(f["feature"], f["rows"], f["difference"]) for f in group["features"]] == [("rsi_14", 1, 1.0)]
    assert "no difference" in run("diff", "duckdb", "duckdb:new", "--atol", "1.5").output
    assert "other data" in run("copy", "--to", "duckdb:new", code=1).output


def test_settings_files_and_options(run: Run, tmp_path: Path) -> None:
    """A place may be a settings file, or a backend with options; mistakes in it are named."""
    (tmp_path / "other.toml").write_text('backend = "duckdb"\n[backends.duckdb]\npath = "elsewhere"\n')
    run("copy", "--to", "other.toml", "--group", "bitcoin_features")
    run("copy", "--from", "other.toml", "--to", "duckdb", "--to-option", "path=third", "--to-option", "lock_timeout=3")

    assert "no difference" in run("diff", "duckdb:elsewhere", "duckdb:third").output
    assert "only A has group bitcoin_candles v1" in run("diff", "duckdb", "other.toml", code=1).output
    for arguments, message in (
        (("copy", "--to", "ducdb"), "did you mean duckdb"),
        (("copy", "--to", "duckdb:"), "first option"),
        (("copy", "--to", "duckdb", "--to-option", "pat=x"), "no option 'pat'"),
        (("copy", "--to", "duckdb", "--to-option", "path"), "not NAME=VALUE"),
        (("copy", "--to", "duckdb:.btcfs"), "name two"),
        (("copy", "--to", "none.toml"), "no configuration file"),
        (("copy",), "--to PLACE"),
        (("diff", "duckdb", "duckdb:.btcfs"), "name two"),
    ):
        assert message in run(*arguments, code=2).output
    for arguments in (("copy", "--from", "duckdb:nowhere", "--to", "duckdb:new"), ("diff", "duckdb", "duckdb:nowhere")):
        assert "there is no duckdb store at" in run(*arguments, code=5).output
        assert not (tmp_path / "nowhere").exists()
    assert "no feature group named 'x'" in run("copy", "--to", "duckdb:new", "--group", "x", code=5).output


def test_backends_show_what_they_declare(run: Run) -> None:
    """Each backend is shown with its capabilities, as text, as JSON and as the table of the documentation."""
    told = {info["name"]: info for info in parsed(run("backends", "--json"))}

    assert told["duckdb"]["capabilities"]["time_travel"] is True
    assert "time_travel" in run("backends").output
    assert "| `scan` | `read` |" in run("backends", "--markdown").output


def test_the_report_of_a_shadow(run: Run, tmp_path: Path) -> None:
    """What a shadow counted is shown, with exit code 1 where it disagrees."""
    run("ingest", "create-view")
    run("copy", "--to", "duckdb:new")
    for code in (0, 1):
        with ShadowStore(connect("duckdb"), connect("duckdb", path="new"), report="shadow.json") as store:
            view = find_view(store.definitions(), "bitcoin_training_view")
            rows = store.read(find_group(store.definitions(), view.groups[0][0]))
            times = pd.to_datetime(rows["timestamp"])
            store.get_online_features(view, [{"symbol": "BTC-USD", "timestamp": t.to_pydatetime()} for t in times])
        text = run("store", "shadow", "shadow.json", code=code).output
        assert ("rsi_14" in text) == bool(code)
        assert parsed(run("store", "shadow", "shadow.json", "--json", code=code))["agrees"] == (code == 0)
        changed(tmp_path / "new")
    assert "no report" in run("store", "shadow", "nothing.json", code=5).output


def test_narrow_terminals(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal of 80 columns no number of a difference is broken in two, and what is left out is named."""
    run("copy", "--to", "duckdb:new")
    changed(tmp_path / "new")
    monkeypatch.setenv("FORCE_COLOR", "1")  # a terminal, for rich
    monkeypatch.setenv("COLUMNS", "80")
    narrow = run("diff", "duckdb", "duckdb:new", code=1).output
    monkeypatch.setenv("COLUMNS", "120")
    wide = run("diff", "duckdb", "duckdb:new", code=1).output

    with connect("duckdb", path=tmp_path / "new") as store:
        value = store.read(find_group(store.definitions(), "bitcoin_features"))["rsi_14"].iloc[7]
    assert repr(float(value)) in narrow
    assert repr(float(value)) in wide
    assert "ulp, largest: with --json" in narrow
    assert "with --json" not in wide
