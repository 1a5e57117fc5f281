"""The SQL that described queries become, run by DuckDB and compared with naive loops."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import attrs
import pyarrow as pa
import pytest

pytest.importorskip("confluent_kafka", reason="the extra hopsworks-emulator is not installed")

from hypothesis import given, settings
from hypothesis import strategies as st

from btcfs_hopsworks.emulator.metadata import Feature, Group, Project
from btcfs_hopsworks.emulator.offline_sql import offline_sql
from btcfs_hopsworks.emulator.online_sql import online_sql
from btcfs_hopsworks.emulator.queries import QueryRefused, plan
from btcfs_hopsworks.emulator.state import State
from btcfs_hopsworks.emulator.view_building import windowed
from btcfs_hopsworks.emulator.warehouse import Warehouse

PROJECT = Project(119, "bitcoin")
BEGIN = datetime(2024, 1, 1)
LEFT = (Feature("id", "bigint", primary=True), Feature("key", "string"), Feature("at", "timestamp"))
RIGHT = (Feature("key", "string", primary=True), Feature("number", "bigint", primary=True), Feature("at", "timestamp"))
rows = st.lists(st.tuples(st.sampled_from(["BTC", "ETH"]), st.integers(0, 12)), max_size=12)


@attrs.frozen
class Store:
    """A warehouse with a left and a right group, and no server."""

    state: State
    warehouse: Warehouse
    left: Group
    right: Group

    def fill(self, left: Sequence[tuple[str, int]], right: Sequence[tuple[str, int]]) -> None:
        """Rows of a key and an hour each; ``id`` and ``number`` count them."""
        for group, counter, wanted in ((self.left, "id", left), (self.right, "number", right)):
            self.warehouse.clear(PROJECT.featurestore, group)
            table = pa.table(
                {
                    counter: pa.array(range(len(wanted)), pa.int64()),
                    "key": pa.array([key for key, _ in wanted], pa.string()),
                    "at": pa.array([BEGIN + timedelta(hours=hour) for _, hour in wanted], pa.timestamp("us")),
                }
            )
            self.warehouse.merge(PROJECT.featurestore, group, table.select([f.name for f in group.features]), 1)

    def read(self, query: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        found = self.warehouse.query(offline_sql(plan(self.state, query))).to_pydict()
        return sorted(zip(*found.values(), strict=True), key=str)

    def joined(self, **join: Any) -> dict[str, Any]:
        """The left group's id with the right group's number."""
        right = {"leftFeatureGroup": {"id": self.right.id}, "leftFeatures": [{"name": "number"}]}
        on = {"on": [{"name": "key"}], "type": "LEFT"}
        return {
            "leftFeatureGroup": {"id": self.left.id},
            "leftFeatures": [{"name": "id"}],
            "joins": [{**on, **join, "query": {**right, **join.get("query", {})}}],
        }


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    state, warehouse = State(Path(tmp_path_factory.mktemp("files")), "key"), Warehouse()
    state.projects[PROJECT.id] = PROJECT
    groups = []
    for number, (name, features) in enumerate((("events", LEFT), ("facts", RIGHT)), start=1):
        group = Group(
            number, PROJECT.id, name, 1, features, "at", True, "HUDI", "streamFeatureGroupDTO", "topic", number, 0
        )
        state.groups[number] = group
        warehouse.create(PROJECT.featurestore, group)
        groups.append(group)
    yield Store(state, warehouse, *groups)
    warehouse.close()


def naive(
    left: Sequence[tuple[str, int]], right: Sequence[tuple[str, int]], *, inner: bool = False
) -> list[tuple[Any, ...]]:
    """For each left row every right row of its key with the greatest time not after its own."""
    found: list[tuple[Any, ...]] = []
    for number, (key, hour) in enumerate(left):
        before = [h for k, h in right if k == key and h <= hour]
        chosen = [i for i, (k, h) in enumerate(right) if before and (k, h) == (key, max(before))]
        found += [(number, i) for i in chosen] or ([] if inner else [(number, None)])
    return sorted(found, key=str)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(left=rows, right=rows)
def test_point_in_time_is_rank_one(store: Store, left: list[tuple[str, int]], right: list[tuple[str, int]]) -> None:
    """A left row gets each of the latest right rows at or before its time, ties included, and stays without any."""
    store.fill(left, right)

    assert store.read(store.joined()) == naive(left, right)
    assert store.read(store.joined(type="INNER")) == naive(left, right, inner=True)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(left=rows, right=rows, begin=st.integers(0, 12), length=st.integers(0, 12))
def test_windows_are_half_open(
    store: Store, left: list[tuple[str, int]], right: list[tuple[str, int]], begin: int, length: int
) -> None:
    """A window keeps left rows with begin <= time < end, and leaves the right rows alone."""
    store.fill(left, right)
    first = int((BEGIN + timedelta(hours=begin)).replace(tzinfo=timezone.utc).timestamp() * 1000)
    query = windowed(store.state, store.joined(), first, first + length * 3_600_000)
    kept = {i for i, (_, hour) in enumerate(left) if begin <= hour < begin + length}

    assert store.read(query) == [pair for pair in naive(left, right) if pair[0] in kept]


def test_a_joined_filter_holds_before_the_choice(store: Store) -> None:
    """A filter of the joined query takes rows away before the latest is looked for."""
    store.fill([("BTC", 5)], [("BTC", 1), ("BTC", 3)])
    older = {
        "filter": {
            "type": "SINGLE",
            "leftFilter": {"feature": {"name": "number", "featureGroupId": 2}, "condition": "EQUALS", "value": "0"},
        }
    }

    assert store.read(store.joined()) == [(0, 1)]
    assert store.read(store.joined(query=older)) == [(0, 0)]


def test_text_of_filters_is_quoted(store: Store) -> None:
    """A value with a quote is a value, in both dialects; a number that is none is refused."""
    store.fill([("BTC", 1)], [])
    query = store.joined()

    def filtered(name: str, value: str, condition: str = "EQUALS") -> dict[str, Any]:
        given = {"feature": {"name": name, "featureGroupId": 1}, "condition": condition, "value": value}
        return {**query, "filter": {"type": "SINGLE", "leftFilter": given}}

    assert store.read(filtered("key", "x' OR '1'='1")) == []
    assert "'x'' OR ''1''=''1'" in online_sql(plan(store.state, filtered("key", "x' OR '1'='1")))
    assert "'a\\\\b'" in online_sql(plan(store.state, filtered("key", "a\\b")))
    assert store.read(filtered("key", '["BTC", "x\'"]', "IN")) == [(0, None)]
    with pytest.raises(QueryRefused, match="not a value of type bigint"):
        store.read(filtered("id", "1 OR 1=1"))


def test_a_join_without_a_key_is_refused(store: Store) -> None:
    """Groups whose primary keys share no feature need a key to be joined on, which must exist."""
    with pytest.raises(QueryRefused, match="no key to join events with facts"):
        plan(store.state, store.joined(on=[]))
    with pytest.raises(QueryRefused, match="has no feature nothing"):
        plan(store.state, store.joined(on=[{"name": "nothing"}]))
