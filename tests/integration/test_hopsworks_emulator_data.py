"""Rows through the emulator's Kafka into its online and offline stores, with real clients at both ends."""

from __future__ import annotations

import asyncio
from typing import Any

import attrs
import pytest

pytest.importorskip("confluent_kafka", reason="the extra hopsworks-emulator is not installed")
pytest.importorskip("mysql_mimic", reason="the extra hopsworks-emulator is not installed")

from btcfs_hopsworks.emulator.metadata import Commit, Feature, Group
from btcfs_hopsworks.emulator.topic_reader import RowsLost, TopicReader
from emulated import MODES, PROJECT, Emulated, row

pytest_plugins = ["emulated"]


@pytest.fixture(scope="module", params=MODES)
def mode(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_rows_reach_both_stores(cluster: Emulated, candles: Group) -> None:
    """What a client writes is online at once, and offline after the job."""
    ingestion = cluster.write(candles, [row(n, close=n / 3) for n in range(5)])

    assert cluster.counted(ingestion) == {"UPSERTED": 5}
    assert cluster.online(candles) == [(n, n / 3) for n in range(5)]
    assert cluster.offline(candles) == []
    commit = cluster.plane.materialise(candles)
    assert commit is not None
    assert (commit.inserted, commit.updated) == (5, 0)
    assert [(number, close) for _, number, _, close in cluster.offline(candles)] == [(n, n / 3) for n in range(5)]
    assert cluster.plane.materialise(candles) is None


def test_same_key_is_updated(cluster: Emulated, candles: Group) -> None:
    """Offline a row is replaced by one with its key and event time, and a commit says how many were."""
    cluster.write(candles, [row(n, close=1.0) for n in range(3)])
    cluster.plane.materialise(candles)
    cluster.write(candles, [row(n, close=2.0) for n in (2, 3)] + [row(3, close=3.0)])

    commit = cluster.plane.materialise(candles)

    assert commit is not None
    assert (commit.inserted, commit.updated) == (1, 1)
    assert [values[3] for values in cluster.offline(candles)] == [1.0, 1.0, 2.0, 3.0]


def test_history_answers_as_of(cluster: Emulated, candles: Group) -> None:
    """The rows as they were after a commit, and those of the commits between two."""
    commits: list[Commit] = []
    for close in (1.0, 2.0, 3.0):
        cluster.write(candles, [row(0, close=close), row(int(close), close=close)])
        done = cluster.plane.materialise(candles)
        assert done is not None
        commits.append(done)

    def closes(until: Commit, since: int = 0) -> list[float]:
        sql = cluster.plane.warehouse.as_of(PROJECT.featurestore, candles, until.committed_ms, since)
        found: list[float] = cluster.plane.query(f"SELECT close FROM ({sql}) ORDER BY number")["close"].to_pylist()
        return found

    assert [closes(commit) for commit in commits] == [[1.0, 1.0], [2.0, 1.0, 2.0], [3.0, 1.0, 2.0, 3.0]]
    assert closes(commits[2], since=commits[1].committed_ms) == [3.0, 3.0]


def test_one_row_per_primary_key_online(cluster: Emulated, candles: Group) -> None:
    """The last row of a key that arrives is the one that is served, whatever its event time."""
    newer, older = row(5, close=1.0), {**row(4, close=2.0), "number": 5}
    cluster.counted(cluster.write(candles, [newer, older]))

    assert cluster.online(candles) == [(5, 2.0)]


def test_upsert_if_newer(cluster: Emulated, candles: Group) -> None:
    """With its header, a row older than the one that is there is ignored, and counted so."""
    cluster.counted(cluster.write(candles, [row(5, close=1.0)]))
    older, newer = {**row(4, close=2.0), "number": 5}, {**row(6, close=3.0), "number": 5}

    assert cluster.counted(cluster.write(candles, [older], upsertIfNewer=b"1")) == {"IGNORED": 1}
    assert cluster.online(candles) == [(5, 1.0)]
    assert cluster.counted(cluster.write(candles, [newer], upsertIfNewer=b"1")) == {"UPSERTED": 1}
    assert cluster.online(candles) == [(5, 3.0)]


@pytest.mark.parametrize(
    ("storage", "served", "stored"), [(b"online", 1, 0), (b"offline", 0, 1), (b"0", 0, 1), (b"1", 1, 1)]
)
def test_storage_header(cluster: Emulated, candles: Group, storage: bytes, served: int, stored: int) -> None:
    """A row goes where its header says, and one that is not meant for the online store counts as ignored."""
    counted = cluster.counted(cluster.write(candles, [row(0, close=1.0)], storage=storage))
    cluster.plane.materialise(candles)

    assert counted == ({"UPSERTED": 1} if served else {"IGNORED": 1})
    assert (len(cluster.online(candles)), len(cluster.offline(candles))) == (served, stored)


def test_delete_header(cluster: Emulated, candles: Group) -> None:
    """A tombstone deletes online, and the job leaves it out."""
    cluster.counted(cluster.write(candles, [row(0, close=1.0), row(1, close=1.0)]))
    deleted = cluster.counted(cluster.write(candles, [row(0, close=None)], operation=b"delete"))
    cluster.plane.materialise(candles)

    assert deleted == {"DELETED": 1}
    assert cluster.online(candles) == [(1, 1.0)]
    assert len(cluster.offline(candles)) == 2


def test_online_lag(cluster: Emulated, candles: Group) -> None:
    """While the online store lags, rows are not served and not counted; then they are."""
    cluster.knobs.change({"online_lag": 3600.0})
    ingestion = cluster.write(candles, [row(0, close=1.0)])
    cluster.plane.materialise(candles)

    assert cluster.online(candles) == []
    assert cluster.state.ingestions[ingestion].rows == {}
    cluster.knobs.change({"online_lag": 0.0})
    assert cluster.counted(ingestion) == {"UPSERTED": 1}


def test_told_to_ignore_and_fail(cluster: Emulated, candles: Group) -> None:
    """Rows that the knobs single out are left out of the online store, and counted as what happened to them."""
    cluster.knobs.add("ignore", f"online {candles.table}")
    cluster.knobs.add("fail", f"online {candles.table}", times=2)

    counted = cluster.counted(cluster.write(candles, [row(n, close=0.0) for n in range(5)]))

    assert counted == {"IGNORED": 1, "FAILED": 2, "UPSERTED": 2}
    assert len(cluster.online(candles)) == 2


def test_composite_keys_in_one_query(cluster: Emulated, candles: Group) -> None:
    """The batch query of the vector client, over its asynchronous driver: all rows of several keys."""
    import aiomysql  # only here: it comes with the SDK

    cluster.counted(cluster.write(candles, [{**row(n, close=float(n)), "symbol": f"'{n}\\"} for n in range(4)]))

    async def ask() -> list[tuple[Any, ...]]:
        address = cluster.plane.online_address
        connection = await aiomysql.connect(
            host=address.host,
            port=address.port,
            user=address.user,
            password=address.password,
            db=PROJECT.online_database,
        )
        async with connection.cursor() as cursor:
            where = "(`symbol`, `number`) IN (('\\'1\\\\', 1), ('\\'3\\\\', 3), ('BTC', 3))"
            await cursor.execute(f"SELECT `close` FROM `{PROJECT.online_database}`.`{candles.table}` WHERE {where}")
            found: list[tuple[Any, ...]] = await cursor.fetchall()
        connection.close()
        return found

    assert sorted(asyncio.run(ask())) == [(1.0,), (3.0,)]


def test_appended_features(cluster: Emulated, candles: Group) -> None:
    """An appended feature is empty in older rows, in both stores."""
    cluster.counted(cluster.write(candles, [row(0, close=1.0)]))
    cluster.plane.materialise(candles)
    longer = attrs.evolve(candles, features=(*candles.features, Feature("volume", "double")))
    cluster.state.groups[candles.id] = longer
    cluster.plane.change_group(candles, longer)
    cluster.counted(cluster.write(longer, [row(1, close=2.0, volume=5.0)]))
    cluster.plane.materialise(longer)

    assert [values[3:] for values in cluster.offline(longer)] == [(1.0, None), (2.0, 5.0)]
    assert cluster.online(longer, "close, volume") == [(1.0, None), (2.0, 5.0)]


def test_cleared_and_dropped(cluster: Emulated, candles: Group) -> None:
    """Clearing empties a group, rows in Kafka too; dropping leaves no table, and later rows are for nobody."""
    cluster.counted(cluster.write(candles, [row(0, close=1.0)]))
    cluster.plane.clear_group(candles)

    assert cluster.plane.materialise(candles) is None
    assert (cluster.online(candles), cluster.offline(candles)) == ([], [])
    cluster.plane.drop_group(candles)
    del cluster.state.groups[candles.id]
    cluster.write(candles, [row(0, close=1.0)])
    other = cluster.group(Feature("close", "double"))
    assert cluster.plane.materialise(other) is None
    with pytest.raises(Exception, match=candles.table):
        cluster.offline(candles)


def test_rows_of_another_schema_stay(cluster: Emulated, candles: Group) -> None:
    """A job that cannot write its rows raises and keeps them for the next run."""
    cluster.write(candles, [row(0, close=1.0)])
    cluster.plane.warehouse.drop(PROJECT.featurestore, candles)
    with pytest.raises(Exception, match=candles.table):
        cluster.plane.materialise(candles)

    cluster.plane.warehouse.create(PROJECT.featurestore, candles)
    commit = cluster.plane.materialise(candles)

    assert commit is not None
    assert commit.inserted == 1


def test_forgotten_rows_are_not_silent(cluster: Emulated) -> None:
    """The mock broker forgets the oldest of many rows that wait; a reader that missed some says so."""
    if not cluster.plane.broker.forgets:
        assert cluster.plane.broker.partitions("held")  # a real broker keeps them: nothing to refuse
        return
    for number in range(28_000):
        cluster.producer.produce("held", b"x" * 1000, str(number), headers={"featureGroupId": b"1"})
        if number % 5000 == 0:
            cluster.producer.flush()
    cluster.producer.flush()
    reader = TopicReader(cluster.plane.broker, lambda records: None)
    reader.follow("held")

    with pytest.raises(RowsLost, match="smaller batches"):
        reader.catch_up("held")
    reader.close()
