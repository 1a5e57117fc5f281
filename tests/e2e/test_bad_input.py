"""Every kind of bad input: a message that says what to do, the right exit code, and a store left as it was."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from functools import partial
from pathlib import Path

import duckdb
import pandas as pd
import pytest
from click.testing import Result

from commandline import Run

HEADER = "timestamp,open,high,low,close,volume"


def candles(count: int = 600, start: str = "2021-01-01T00:00:00Z") -> list[str]:
    times = pd.date_range(start, periods=count, freq="D")
    return [
        f"{t.isoformat()},{100 + i % 7},{110 + i % 7},{90 + i % 7},{101 + i % 7},{5 + i % 3}"
        for i, t in enumerate(times)
    ]


@pytest.fixture
def run(run: Run) -> Run:
    """Runs btcfs with any exit code: each test says which."""
    return partial(run, code=None)


def ingested(run: Run, lines: list[str], *options: str, header: str = HEADER) -> Result:
    Path("candles.csv").write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    return run("ingest", "historical", "--source", "csv", "--path", "candles.csv", "--days", "100", *options)


def groups(run: Run) -> list[object]:
    return list(json.loads(run("store", "info", "--json").stdout)["groups"])


def changed(row: int, column: int, value: str) -> list[str]:
    lines = candles()
    cells = lines[row].split(",")
    cells[column] = value
    lines[row] = ",".join(cells)
    return lines


FUTURE = (datetime.now(timezone.utc) - timedelta(days=100)).strftime("%Y-%m-%dT00:00:00Z")

REFUSED = {
    "naive timestamps": (HEADER, [line.replace("+00:00", "") for line in candles()], "zone"),
    "mixed intervals": (HEADER, candles(300) + candles(300, "2021-10-28T01:00:00Z"), "interval"),
    "strings in numbers": (HEADER, changed(300, 4, "about 100"), "about 100"),
    "not a number": (HEADER, changed(300, 4, "nan"), "close"),
    "infinite": (HEADER, changed(300, 2, "inf"), "high"),
    "negative price": (HEADER, changed(300, 3, "-5"), "low"),
    "high below low": (HEADER, changed(300, 2, "1"), "high"),
    "negative volume": (HEADER, changed(300, 5, "-1"), "volume"),
    "an empty file": ("", [], "empty"),
    "only a header": (HEADER, [], "candles.csv"),
    "wrong columns": ("a,b,c", ["1,2,3"], "columns"),
    "ten rows": (HEADER, candles(11), "200"),
    "duplicates that disagree": (
        HEADER,
        [*candles()[:300], changed(300, 5, "9")[300], *candles()[300:]],
        "rows of one open time agree",
    ),
    "dates in the future": (HEADER, candles(400, FUTURE), "opens after now"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_bad_candles_are_refused(run: Run, what: str) -> None:
    """Each kind of bad file is refused with exit code 3, in words that name it, and nothing is stored."""
    header, lines, words = REFUSED[what]
    result = ingested(run, lines, header=header)

    assert result.exit_code == 3, result.output
    assert words in result.stderr
    assert groups(run) == []


def test_a_refusal_leaves_what_was_stored(run: Run) -> None:
    """After a good ingest, a bad file changes nothing that can be read."""
    assert ingested(run, candles(), "--json").exit_code == 0
    before = run("stats", "--json").stdout, run("store", "info", "--json").stdout
    result = ingested(run, changed(300, 4, "nan"))

    assert result.exit_code == 3
    assert (run("stats", "--json").stdout, run("store", "info", "--json").stdout) == before


def test_quarantine_goes_on_with_the_rest(run: Run) -> None:
    """--quarantine writes the bad row with its reason and ingests the others."""
    result = ingested(run, changed(300, 2, "1"), "--quarantine", "bad.csv", "--json")
    rejected = pd.read_csv("bad.csv")

    assert json.loads(result.stdout)["rejected"] == len(rejected) == 1
    assert "high" in rejected["reason"].iloc[0]


def test_a_missing_file(run: Run) -> None:
    """The message names the path that does not exist."""
    result = run("ingest", "historical", "--source", "csv", "--path", "nowhere.csv")

    assert result.exit_code in (2, 3)
    assert "nowhere.csv" in result.stderr


def test_an_interval_that_the_data_do_not_have(run: Run) -> None:
    """Daily candles under --interval 1h are refused, naming both."""
    result = ingested(run, candles(), "--interval", "1h")

    assert result.exit_code == 3
    assert "1h" in result.stderr
    assert "1d" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("ingest", "historical"), "--source"),
        (("ingest", "historical", "--source", "smaple"), "did you mean"),
        (("ingest", "historical", "--source", "csv"), "--path"),
        (("ingest", "historical", "--source", "sample", "--days", "0"), "days"),
        (("ingest", "historical", "--source", "sample", "--batch-size", "0"), "batch size"),
        (("ingest", "historical", "--source", "sample", "--interval", "1x"), "1x"),
        (("ingest", "historical", "--source", "sample", "--source-option", "sede=3"), "seed"),
        (("--backend", "ducdb", "store", "info"), "duckdb"),
        (
            ("ingest", "backfill", "--source", "sample", "--start", "2024-02-01", "--end", "2024-01-01"),
            "before it starts",
        ),
        (("ingest", "historical", "--source", "exchange", "--exchange", "krakn"), "kraken"),
    ],
)
def test_wrong_usage_is_named(run: Run, arguments: tuple[str, ...], words: str) -> None:
    """Exit code 2, and the nearest right word or the option that is missing."""
    result = run(*arguments)

    assert result.exit_code == 2, result.output
    assert words in result.stderr


def test_daily_before_historical(run: Run) -> None:
    """Daily on an empty store names the command to run first."""
    result = run("ingest", "daily", "--source", "sample")

    assert result.exit_code == 5
    assert "btcfs ingest historical" in result.stderr


def test_a_database_of_another_application(run: Run) -> None:
    """A DuckDB file that is not ours is refused and not touched."""
    folder = Path(".btcfs")
    folder.mkdir()
    with duckdb.connect(str(folder / "offline.duckdb")) as other:
        other.execute("CREATE TABLE theirs AS SELECT 1 AS x")
    result = run("ingest", "historical", "--source", "sample", "--days", "30")

    assert result.exit_code in (2, 4)
    assert "not a btcfs store" in result.stderr
    with duckdb.connect(str(folder / "offline.duckdb")) as other:
        assert other.execute("SELECT x FROM theirs").fetchall() == [(1,)]


def test_a_group_whose_definition_changed(run: Run) -> None:
    """Other features under the same version are refused with the difference and the next free version."""
    run("ingest", "historical", "--source", "sample", "--days", "30")
    Path("btcfs.toml").write_text('features = ["close", "rsi_14"]\n', encoding="utf-8")
    result = run("ingest", "historical", "--source", "sample", "--days", "30")

    assert result.exit_code == 3
    assert "sma_200 was removed" in result.stderr
    assert "version 2" in result.stderr
