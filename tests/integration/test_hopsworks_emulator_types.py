"""Values of every type through the emulator's Kafka into its online and offline stores."""

from __future__ import annotations

import io
import math
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pytest

pytest.importorskip("confluent_kafka", reason="the extra hopsworks-emulator is not installed")
pytest.importorskip("mysql_mimic", reason="the extra hopsworks-emulator is not installed")

import fastavro
from hypothesis import given, settings
from hypothesis import strategies as st

from btcfs_hopsworks.emulator.avro import record_schema
from btcfs_hopsworks.emulator.metadata import Feature, Group
from emulated import DAY, MODES, PROJECT, Emulated, row

pytest_plugins = ["emulated"]


@pytest.fixture(scope="module", params=MODES)
def mode(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_every_type_survives(cluster: Emulated) -> None:
    """Each Hive type comes back as it was written: offline whole, online as MySQL keeps it."""
    group = cluster.group(
        Feature("i", "int"),
        Feature("f", "float"),
        Feature("d", "double"),
        Feature("b", "boolean"),
        Feature("m", "decimal(10,3)"),
        Feature("day", "date"),
        Feature("raw", "binary"),
        Feature("ms", "timestamp", online_type="timestamp(3)"),
    )
    moment = datetime.fromisoformat("2024-02-29T01:02:03.456789+00:00")
    values: dict[str, Any] = {
        "i": -7, "f": 81.6845, "d": math.inf, "b": True, "m": Decimal("1.100"), "day": date(2024, 2, 29),
        "raw": b"\x00\xff'\\", "ms": moment,
    }  # fmt: skip
    nulls = dict.fromkeys(values)
    cluster.counted(cluster.write(group, [{**row(0), **values, "at": moment}, {**row(1), **nulls}]))
    cluster.plane.materialise(group)

    naive = moment.replace(tzinfo=None)
    first, second = cluster.offline(group)
    assert first[2:4] == (naive, -7)
    assert first[4] == pytest.approx(81.6845)
    assert first[5:] == (math.inf, True, Decimal("1.100"), date(2024, 2, 29), b"\x00\xff'\\", naive)
    assert second[3:] == (None,) * 8
    kept = cluster.online(group, "at, i, f, d, b, m, day, raw, ms")
    assert kept[0] == (
        naive.replace(microsecond=0), -7, 81.6845, None, 1, Decimal("1.100"), date(2024, 2, 29), b"\x00\xff'\\",
        naive.replace(microsecond=456000),
    )  # fmt: skip
    assert kept[1][1:] == (None,) * 8


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("array<int>", [1, None]),
        ("map<string,double>", {"a": 1.5, "b": None}),
        ("array<timestamp>", [DAY]),
    ],
)
def test_complex_columns_are_avro_online(cluster: Emulated, kind: str, value: Any) -> None:
    """A complex column is a value offline and the client's own bytes online."""
    group = cluster.group(Feature("levels", kind))
    written = io.BytesIO()
    fastavro.schemaless_writer(written, fastavro.parse_schema(record_schema(group)["fields"][3]["type"]), value)
    encoded = written.getvalue()
    cluster.counted(cluster.write(group, [row(0, levels=encoded)]))
    cluster.plane.materialise(group)

    found = cluster.offline(group)[0][3]
    assert (dict(found) if kind.startswith("map") else found) == ([DAY.replace(tzinfo=None)] if DAY in value else value)
    assert cluster.online(group, "levels") == [(encoded,)]


def test_structs_survive(cluster: Emulated) -> None:
    """A struct with fields of several types comes back offline, nulls included."""
    group = cluster.group(Feature("level", "struct<price:double,sizes:array<bigint>,side:string>"))
    schema = fastavro.parse_schema(record_schema(group)["fields"][3]["type"])
    values = [{"price": 1.5, "sizes": [1, 2], "side": "bid"}, {"price": None, "sizes": None, "side": None}]
    encoded = []
    for value in values:
        written = io.BytesIO()
        fastavro.schemaless_writer(written, schema, value)
        encoded.append(written.getvalue())
    cluster.write(group, [row(n, level=raw) for n, raw in enumerate(encoded)])
    cluster.plane.materialise(group)

    assert [found[3] for found in cluster.offline(group)] == values


def test_row_that_does_not_fit_fails(cluster: Emulated) -> None:
    """A string longer than its column fails alone: the rows around it are written."""
    group = cluster.group(Feature("close", "double"), Feature("note", "string", online_type="varchar(3)"))

    rows = [row(0, close=0.0, note="abc"), row(1, close=1.0, note="abcd"), row(2, close=2.0, note=None)]
    counted = cluster.counted(cluster.write(group, rows))

    assert counted == {"UPSERTED": 2, "FAILED": 1}
    assert cluster.online(group) == [(0, 0.0), (2, 2.0)]


def test_missing_number_is_null_online(cluster: Emulated, candles: Group) -> None:
    """NaN stays NaN offline and is NULL online, where MySQL has no such value."""
    cluster.counted(cluster.write(candles, [row(0, close=math.nan)]))
    cluster.plane.materialise(candles)

    assert math.isnan(cluster.offline(candles)[0][3])
    assert cluster.online(candles) == [(0, None)]


def test_any_text_is_found_again(cluster: Emulated) -> None:
    """A key of any characters finds its row, as the driver quotes it: alone, and among others in one query."""
    group = cluster.group(Feature("close", "double"))
    table = f"`{PROJECT.online_database}`.`{group.table}`"

    @settings(max_examples=60, deadline=None, derandomize=True)
    @given(
        st.lists(st.text(st.characters(codec="utf-8"), min_size=1, max_size=20), min_size=2, max_size=4, unique=True)
    )
    def law(keys: list[str]) -> None:
        rows = [(key, 1, None, float(place)) for place, key in enumerate(keys)]
        cluster.plane.tables.clear(PROJECT.online_database, group)
        cluster.plane.tables.upsert(PROJECT.online_database, group, rows)

        alone = cluster.sql(f"SELECT close FROM {table} WHERE `symbol` = %s AND `number` = %s", (keys[0], 1))
        wanted = tuple((key, 1) for key in keys[1:])
        among = cluster.sql(f"SELECT symbol FROM {table} WHERE (`symbol`, `number`) IN %s", (wanted,))
        assert alone == [(0.0,)]
        assert sorted(found for (found,) in among) == sorted(keys[1:])

    law()
