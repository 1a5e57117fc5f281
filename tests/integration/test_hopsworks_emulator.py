"""The emulator as the real client finds it: a drive from login to delete in both modes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest

pytest.importorskip("hopsworks", reason="the extra hopsworks-emulator is not installed")
pytest.importorskip("mysql_mimic", reason="the extra hopsworks-emulator is not installed")

from btcfs_hopsworks.emulator.application import Emulator
from btcfs_hopsworks.emulator.loopback import free_address
from emulated import MODES, services

DRIVE = Path(__file__).parents[1] / "hopsworks_drive.py"


@attrs.frozen
class Driven:
    """An emulator after the drive of the real client, and what that saw."""

    emulator: Emulator
    seen: dict[str, Any]


@pytest.fixture(scope="module", params=MODES)
def driven(request: pytest.FixtureRequest) -> Iterator[Driven]:
    named = services(request.param, free_address())
    with Emulator(host=named.host, mysql=named.mysql, kafka=named.kafka) as running:
        done = subprocess.run(
            [sys.executable, str(DRIVE), str(running.ca_certificate)],
            env={**os.environ, **running.environment()},
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-5000:]}"
        yield Driven(running, json.loads(done.stdout.rsplit("SEEN ", 1)[1]))


@pytest.fixture
def seen(driven: Driven) -> dict[str, Any]:
    """What the drive of the real client saw."""
    return driven.seen


def test_a_round_trip_loses_nothing(seen: dict[str, Any]) -> None:
    """365 rows of 11 columns come back from both stores as they were written, NaN and missing text included."""
    assert seen["offline"] == {"shape": [365, 11], "differences": []}
    assert seen["online"] == {"shape": [365, 11], "close": True}


def test_filters_choose_rows(seen: dict[str, Any]) -> None:
    """Filters are combined and typed; NaN counts as larger than any number, as in DuckDB, which the real service runs."""
    found, expected, columns = seen["filtered"]

    assert (found, columns) == (expected + 1, ["id", "close"])
    assert seen["in"] == [3, 5]


def test_an_upsert_replaces(seen: dict[str, Any]) -> None:
    """Ten rows with known keys are updates in the newest commit, and no further rows."""
    assert seen["commits"] == [[0, 10], [365, 0]]
    assert seen["upserted"] == [10.0, 365]


def test_joins_see_no_later_row(seen: dict[str, Any]) -> None:
    """A joined group gives its latest row at or before the left row's event time: as pandas.merge_asof says."""
    assert seen["point in time"]


def test_training_data_in_memory_and_written(seen: dict[str, Any]) -> None:
    """Training data has the view's columns without labels; splits are disjoint, by share or by half-open times."""
    assert seen["training"] == [[365, 11], [365, 1], "datetime64"]
    assert seen["random split"] == [[292, 11], [73, 11], [292, 1], [73, 1]]
    assert seen["time split"] == [[151, 11], [214, 11], [151, 1], [214, 1]]
    assert seen["written"] == [[365, 11], [365, 1]]
    assert seen["written split"] == [[274, 11], [91, 11], [274, 1], [91, 1]]


def test_batches_are_half_open(seen: dict[str, Any]) -> None:
    """A batch from 1 to 8 March has seven days; keys that were not selected come under their qualified names."""
    assert seen["batch"] == 7
    assert seen["batch keys"] == ["bitcoin_ml_pipeline_network_1_key", "bitcoin_ml_pipeline_network_1_at"]


def test_vectors_by_sql_and_rest_agree(seen: dict[str, Any]) -> None:
    """Both ways of serving give the same vector, in the view's order without labels, and in the order asked."""
    assert seen["vectors"] == [[30, 20], True]
    assert all(seen["sql and rest"])
    assert len(seen["sql and rest"]) == len(seen["names"])


def test_missing_keys_are_dropped_by_the_client(seen: dict[str, Any]) -> None:
    """The client gives None for one missing key, and leaves it out of many: the trap is there to be met."""
    assert seen["missing"] == [None, 1]


def test_serving_keys_say_what_is_required(seen: dict[str, Any]) -> None:
    """A joined key is required when the left group's own key does not give it."""
    assert seen["serving keys"] == [["id", True, ""], ["key", True, "symbol"]]


def test_statistics_are_computed_by_the_cluster(seen: dict[str, Any]) -> None:
    """Statistics of a commit equal pandas', and are found by the time of now."""
    assert seen["statistics"] == {
        "mean": "True", "std": "True", "median": "True", "nulls": [53, 53], "histogram": 20, "now": True,
    }  # fmt: skip


def test_tags_and_descriptions_are_kept(seen: dict[str, Any]) -> None:
    """Tags and descriptions come back as written; appended features are there; a tag that was deleted is not."""
    assert seen["tags"] == [{"volume": "BTC"}, None]
    assert seen["tags after"] == {}
    assert seen["columns"] == [["close", "last price"], ["extra", "more"]]
    assert seen["description"] == "changed"


def test_monitoring_finds_a_shift(seen: dict[str, Any]) -> None:
    """A run of a configuration compares the window with its reference, and keeps what it found."""
    assert seen["monitoring"] == [["volume"], 365]
    assert seen["configurations"] == ["drift"]


def test_models_and_files(seen: dict[str, Any]) -> None:
    """The best model by a metric comes back with its files; files uploaded in chunks come back whole."""
    assert seen["models"] == [2, 2, "1 2 3"]
    assert seen["files"] == [True, True]
    assert [seen["model after"], seen["file after"]] == [None, False]


def test_deleting(seen: dict[str, Any]) -> None:
    """A group that a view uses is refused; after the view, it goes, and neither is found."""
    assert seen["used"] == [400, 270232]
    assert seen["gone"] == [None, None]
    assert [seen["no group"], seen["no view"], seen["parents"]] == [None, None, ["network", "prices"]]


def test_every_call_is_logged(driven: Driven) -> None:
    """The drive's calls are in the log by plane, and none of them was an error of the emulator itself."""
    planes = {call.plane for call in driven.emulator.calls.calls()}

    assert {"rest", "flight", "rdrs", "job"} <= planes
    assert [c.call for c in driven.emulator.calls.calls("rest") if (c.status or 0) >= 500] == []
