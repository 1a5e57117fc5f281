"""Copies into a Hopsworks project and out of it again, and what they cost in calls."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest

pytest.importorskip("confluent_kafka", reason="the extra hopsworks-emulator is not installed")
pytest.importorskip("mysql_mimic", reason="the extra hopsworks-emulator is not installed")

from btcfs.connection import connect
from btcfs.errors import StoreUnavailable
from btcfs.store import FeatureStore
from btcfs.transfer.copying import copy_store, plan_copy
from btcfs.transfer.diffing import diff_stores
from btcfs_hopsworks.emulator.application import Emulator
from btcfs_hopsworks.emulator.call_log import Call
from hopsworks_opening import project_options
from moving import GROUP, filled, rows, same_past

pytest_plugins = ["btcfs_hopsworks.testing"]


@pytest.fixture
def project(hopsworks_emulator: Emulator, tmp_path: Path) -> Iterator[FeatureStore]:
    with connect("hopsworks", **project_options(hopsworks_emulator, tmp_path)) as store:
        yield store


def kind(call: Call) -> str:
    """What the forecast calls this call; empty for what it does not tell."""
    if call.plane == "rest":
        looks = call.call.startswith("GET") and ("online_ingestion" in call.call or "/executions" in call.call)
        return "REST looks at running jobs" if looks else "REST calls"
    if call.plane == "flight":
        return "offline queries" if call.call.startswith("do_get") else ""
    return "SQL queries" if call.plane == "mysql" else ""


@pytest.mark.slow
def test_there_and_back(project: FeatureStore, tmp_path: Path) -> None:
    """A store copied to Hopsworks and from there to DuckDB has the same definitions, rows, past and differences: none."""
    source = filled(connect("memory"))
    copy_store(source, project, size=50, journal=tmp_path / "there")
    with connect("duckdb", path=tmp_path / "back") as back:
        copy_store(project, back, journal=tmp_path / "back.journal")

        assert list(back.definitions()) == list(source.definitions())
        assert same_past(source, back)
        assert diff_stores(project, back).equal
    assert copy_store(source, project, journal=tmp_path / "there").rows == 0


@pytest.mark.parametrize("writes", [1, 3])
def test_the_forecast_is_what_is_counted(hopsworks_emulator: Emulator, project: FeatureStore, writes: int) -> None:
    """The plan's forecast of calls is what the call log then has, kind by kind; only looks at running jobs may be more."""
    first, group = (attrs.evolve(GROUP, name=f"{name}_{writes}") for name in ("first", "counted"))
    source = connect("memory")
    for each in (first, group):
        source.apply(each)
        for number in range(writes):
            source.write(each, rows(8, first=8 * number, symbols=("BTC-USD",)))
    copy_store(source, project, [first.name])  # the client's own first calls are no part of a copy

    forecast = plan_copy(source, project, [group.name]).to_dict()["calls"]
    hopsworks_emulator.calls.clear()
    copy_store(source, project, [group.name])

    counted = Counter(kind(call) for call in hopsworks_emulator.calls.calls())
    assert {name: counted[name] for name in ("REST calls", "offline queries")} == {
        name: forecast[name] for name in ("REST calls", "offline queries")
    }
    assert abs(counted["SQL queries"] - forecast["SQL queries"]) <= 4
    assert counted["REST looks at running jobs"] >= forecast["REST looks at running jobs"] // 2
    assert forecast["rows sent"] == 2 * 8 * writes + writes


def test_a_project_that_goes_away_half_way(hopsworks_emulator: Emulator, project: FeatureStore, tmp_path: Path) -> None:
    """A cluster that fails in the middle of a copy stops it with what is written whole; the same call completes it."""
    group = attrs.evolve(GROUP, name="away")
    source = connect("memory")
    source.apply(group)
    for number in range(3):
        source.write(group, rows(8, first=8 * number, symbols=("BTC-USD",)))
    done = []

    def fails(written: int) -> None:
        done.append(written)
        hopsworks_emulator.knobs.add("status", times=None, status=503)

    try:
        with pytest.raises(StoreUnavailable, match="goes on"):
            copy_store(source, project, journal=tmp_path / "journal", progress=fails)
    finally:
        hopsworks_emulator.knobs.reset()
    assert done == [8]
    # The second commit was written while the first was read back: it is there whole, and only compared.
    assert copy_store(source, project, journal=tmp_path / "journal").rows == 8
    assert same_past(source, project, [group])
