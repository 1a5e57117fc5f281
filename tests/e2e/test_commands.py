"""The commands as a user runs them, on the embedded default in an empty folder."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from commandline import Run, parsed


def test_historical_prints_the_steps_of_the_guide_with_true_numbers(run: Run) -> None:
    """Four numbered steps, batches of 100 with a rest of 65, and totals."""
    text = run("ingest", "historical", "--source", "sample", "--days", "365").output

    assert "HISTORICAL FEATURE INGESTION" in text
    assert "47 features" in text
    for line in ("✓ Batch 1/4 ingested (100 records)", "✓ Batch 4/4 ingested (65 records)"):
        assert line in text
    assert "✓ Statistics computed and stored" in text
    assert "✓ HISTORICAL FEATURE INGESTION COMPLETE" in text
    assert "Total records: 365" in text


def test_the_guides_mode_spelling_is_the_same_command(run: Run) -> None:
    """--mode historical is historical, and ingest alone is daily."""
    first = parsed(run("ingest", "--mode", "historical", "--days", "30", "--source", "sample", "--json"))
    again = parsed(run("ingest", "--mode=daily", "--source", "sample", "--json"))
    plain = parsed(run("ingest", "--source", "sample", "--json"))

    assert (first["mode"], first["inserted"]) == ("historical", 30)
    assert again["mode"] == plain["mode"] == "daily"
    assert again["inserted"] == plain["inserted"] == 0


def test_json_holds_what_the_issue_names(run: Run) -> None:
    """The JSON of an ingest has its counts, its commit, its range and its warnings."""
    report = parsed(run("ingest", "historical", "--source", "sample", "--seed", "7", "--days", "40", "--json"))

    names = {"fetched", "inserted", "updated", "unchanged", "rejected", "commit_id", "start", "end", "warnings"}
    assert names <= set(report)
    assert report["inserted"] == 40
    assert report["commit_id"]
    assert pd.Timestamp(report["end"]) - pd.Timestamp(report["start"]) == pd.Timedelta(days=39)


def test_a_second_run_reports_zero_changes(run: Run) -> None:
    """Historical again, then daily: nothing inserted, nothing updated, no commit."""
    run("ingest", "historical", "--source", "sample", "--days", "40")
    again = parsed(run("ingest", "historical", "--source", "sample", "--days", "40", "--json"))
    daily = parsed(run("ingest", "daily", "--source", "sample", "--json"))

    assert (again["inserted"], again["updated"], again["unchanged"], again["commit_id"]) == (0, 0, 40, None)
    assert (daily["inserted"], daily["updated"], daily["commit_id"]) == (0, 0, None)


def test_a_dry_run_leaves_no_rows(run: Run) -> None:
    """--dry-run counts what would be inserted; the store stays without a group."""
    planned = parsed(run("ingest", "historical", "--source", "sample", "--days", "40", "--dry-run", "--json"))

    assert (planned["inserted"], planned["commit_id"]) == (40, None)
    assert parsed(run("store", "info", "--json"))["groups"] == []


def test_the_whole_job_then_verify(run: Run) -> None:
    """After historical and create-view, verify is green in the guide's words and changes nothing."""
    run("ingest", "historical", "--source", "sample", "--days", "400")
    run("ingest", "create-view")
    before = run("store", "info", "--json").stdout
    text = run("ingest", "--mode", "verify").output

    assert "✓ Feature group found: bitcoin_features v1" in text
    assert "✓ Feature view found: bitcoin_training_view v1" in text
    assert "✓ Retrieved 365 sample records" in text
    assert "✓ FEATURE STORE VERIFICATION COMPLETE" in text
    assert run("store", "info", "--json").stdout == before


def test_verify_of_an_empty_store_fails_with_the_next_command(run: Run) -> None:
    """Each failed check names its remedy, and the exit code is 1."""
    checks = parsed(run("verify", "--json", code=1))

    assert not checks["ok"]
    failed = [check for check in checks["checks"] if check["status"] == "failed"]
    assert failed[0]["remedy"] == "btcfs ingest historical --days 365"


def test_create_view_is_idempotent_and_refuses_another_label(run: Run) -> None:
    """The same view again is fine; another horizon under the same version is refused with the next free one."""
    run("ingest", "historical", "--source", "sample", "--days", "30")
    run("ingest", "create-view")
    run("ingest", "create-view")
    refused = run("ingest", "create-view", "--horizon", "5", code=3)
    run("ingest", "create-view", "--horizon", "5", "--view-version", "2")

    assert "version 2" in refused.output


def test_stats_shows_each_feature_of_the_newest_commit(run: Run) -> None:
    """btcfs stats has a row per feature; one feature comes with histogram and correlations."""
    report = parsed(run("ingest", "historical", "--source", "sample", "--days", "50", "--json"))
    rows = parsed(run("stats", "--json"))
    text = run("stats", "--feature", "rsi_14").output

    assert len(rows) == 47
    assert {row["commit_id"] for row in rows} == {report["commit_id"]}
    assert {row["rows"] for row in rows} == {50}
    assert "█" in text
    assert "most correlated with" in text


def test_rebuild_online_keeps_every_vector(run: Run) -> None:
    """The online table made anew answers as before."""
    run("ingest", "historical", "--source", "sample", "--days", "30")
    run("ingest", "create-view")
    run("store", "rebuild-online")

    assert parsed(run("verify", "--json"))["ok"]


def test_hourly_candles_get_groups_of_their_own(run: Run) -> None:
    """The interval is part of the names, so that hours and days live side by side."""
    run("ingest", "historical", "--source", "sample", "--days", "30")
    run("ingest", "historical", "--source", "sample", "--days", "30", "--interval", "1h")

    groups = {group["name"]: group["rows"] for group in parsed(run("store", "info", "--json"))["groups"]}
    assert groups["bitcoin_features"] == 30
    assert groups["bitcoin_features_1h"] == 720


def test_a_file_in_the_configuration_needs_no_options(run: Run, shared_data: Path) -> None:
    """btcfs.toml names source and file; daily then needs no argument."""
    Path("btcfs.toml").write_text(
        f'[source]\nname = "csv"\npath = "{shared_data / "bitstamp_btcusd_1d.csv.gz"}"\n', encoding="utf-8"
    )
    run("ingest", "historical", "--days", "365")

    assert parsed(run("ingest", "--json"))["inserted"] == 0


def test_the_real_daily_file(run: Run, shared_data: Path) -> None:
    """URL line, order, partial last candle, 1,180 swapped volumes and 8 days without volume, exactly."""
    file = str(shared_data / "bitstamp_btcusd_1d.csv.gz")
    found = parsed(run("validate", file, "--json"))
    report = parsed(
        run("ingest", "historical", "--source", "csv", "--path", file, "--days", "2600", "--repair-volume", "--json")
    )

    findings = {finding["rule"]: finding for finding in found["validation"]["findings"]}
    assert found["source"]["forming"] == 1
    assert found["source"]["reordered"]
    assert {finding["severity"] for finding in findings.values()} == {"warning"}
    swapped = next(finding for rule, finding in findings.items() if "swap" in rule)
    assert swapped["count"] == 1180
    assert swapped["spans"][-1]["last"].startswith("2018-02-27")
    assert report["repaired"] == 1180
    assert report["inserted"] == 2600
    assert report["end"].startswith("2022-08-19")
    run("ingest", "create-view")
    assert parsed(run("verify", "--json"))["ok"]


@pytest.mark.slow
def test_the_real_hourly_file(run: Run, shared_data: Path) -> None:
    """20,143 swapped hours are put right and counted, and what is stored equals what its candles give."""
    file = str(shared_data / "bitstamp_btcusd_1h.csv.gz")
    market = ("--interval", "1h")
    report = parsed(
        run(
            *("ingest", "historical", "--source", "csv", "--path", file, *market),
            *("--days", "1500", "--repair-volume", "--json"),
        )
    )
    run("ingest", "create-view", *market)

    assert report["repaired"] == 20_143
    assert report["inserted"] == 36_000
    assert parsed(run("verify", *market, "--json"))["ok"]


def test_the_demo_runs_the_main_job(run: Run) -> None:
    """The demo shows a training frame, an online vector and the place of everything."""
    text = run("demo", "--days", "300").output

    assert "Training frame: 300 rows" in text
    assert "Online vector of BTC-USD" in text
    assert '"direction"' in text
    assert "curl -X POST" in text
    assert "report.html" in text
    assert ".btcfs-demo" in text


def test_the_demo_without_a_model(run: Run) -> None:
    """With --no-model the demo ends at the online vector, as JSON too."""
    value = parsed(run("demo", "--days", "60", "--no-model", "--json"))

    assert value["model"] is None
    assert value["training_rows"] == 60
    assert len(value["online"]) == 47


def test_bench_online_prints_the_true_ratio(run: Run) -> None:
    """A stored vector is compared with pandas over the whole history, in words and as JSON, and saves at least 50 times."""
    run("ingest", "historical", "--source", "sample", "--days", "400")
    run("ingest", "create-view")

    value = parsed(run("bench", "online", "--rounds", "50", "--json"))
    text = run("bench", "online", "--rounds", "50").output

    ratios = {row["way"]: row["ratio"] for row in value["rows"]}
    assert ratios["stored vector"] == 1.0
    assert value["faster"] == ratios["full history in pandas, candles in memory"]
    assert (value["bar"], value["met"]) == (50.0, True)
    assert "times as fast as pandas over the history" in text
