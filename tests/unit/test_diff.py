"""The rules of comparing two stores: by key, aware of types, missing values and tolerance, the first divergence named."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import cast

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from btcfs import connect
from btcfs.definitions import Feature, FeatureGroup
from btcfs.errors import ConfigError, NotFound
from btcfs.store import FeatureStore
from btcfs.transfer.comparing import Tolerance, align, ulps
from btcfs.transfer.copying import copy_store
from btcfs.transfer.diffing import GroupDifference, diff_stores
from btcfs.transfer.pieces import pieces
from moving import GROUP, HOUR, NOTES, START, VIEW, Forgetful, filled, rows


@pytest.fixture
def a() -> FeatureStore:
    return filled(connect("memory"))


@pytest.fixture
def b(a: FeatureStore) -> FeatureStore:
    target = connect("memory")
    copy_store(a, target)
    return target


def only(a: FeatureStore, b: FeatureStore, **options: object) -> GroupDifference:
    [found] = [group for group in diff_stores(a, b, **options).groups if group.name == "mixed" and group.version == 1]
    return found


@pytest.mark.parametrize("size", [5, 10_000])
def test_equal_stores(a: FeatureStore, b: FeatureStore, size: int) -> None:
    """A copy does not differ from its source, whichever way it is cut."""
    found = diff_stores(a, b, size=size)

    assert found.equal
    assert [group.compared for group in found.groups] == [131, 24, 3]


@pytest.mark.parametrize("size", [5, 16, 10_000])
def test_the_first_divergence_of_each_feature(a: FeatureStore, b: FeatureStore, size: int) -> None:
    """For each feature that differs: in how many rows, the earliest key, both values, how far apart and the largest."""
    changed = b.read(GROUP)
    late, early = changed.index[changed["timestamp"] == START + 40 * HOUR]
    first = changed.index[changed["timestamp"] == START + 3 * HOUR][0]
    changed.loc[late, "volume"] += 0.25
    changed.loc[first, "volume"] = np.nextafter(changed["volume"][first], 2)
    changed.loc[early, "venue"] = "elsewhere"
    changed.loc[early, "close"] = np.nan if changed["close"][early] == changed["close"][early] else 1.0
    b.write(GROUP, changed)
    found = only(a, b, size=size)

    assert set(found.features) == {"volume", "venue", "close"}
    volume = found.features["volume"]
    assert (volume.rows, volume.ulps, volume.largest) == (2, 1.0, 0.25)
    assert volume.key == {"symbol": "BTC-USD", "timestamp": (START + 3 * HOUR).isoformat()}
    assert volume.b > volume.a
    assert found.features["venue"].b == "elsewhere"
    assert found.features["venue"].difference is None
    assert (found.features["close"].a is None) != (found.features["close"].b is None)


def test_missing_rows(a: FeatureStore, b: FeatureStore) -> None:
    """Keys on one side only are counted, the earliest named, and do not shift the others."""
    b.write(GROUP, rows(2, first=200))
    b.write(GROUP, rows(1, first=-5))
    found = only(a, b, size=10)

    assert (found.missing_in_a, found.missing_in_b, found.compared) == (6, 0, 131)
    assert found.first_missing_in_a == {"symbol": "BTC-USD", "timestamp": (START - 5 * HOUR).isoformat()}
    assert found.features == {}
    assert only(b, a).missing_in_b == 6


def test_a_range_a_past_and_a_choice(a: FeatureStore, b: FeatureStore) -> None:
    """Only what was asked for is compared: a range of event time, what was known at an instant, some groups."""
    known = b.commits(GROUP)[-1].committed_at
    b.write(GROUP, rows(1, first=20, seed=3))
    at = START + 21 * HOUR

    assert not only(a, b).equal
    assert only(a, b, between=(None, at)).equal
    assert only(a, b, between=(at + HOUR, None)).equal
    assert only(a, b, between=(at, at + HOUR)).compared == 2
    assert only(a, b, as_of=known).equal
    assert diff_stores(a, b, ["notes"]).equal
    assert [group.version for group in diff_stores(a, b, ["mixed:2"]).groups] == [2]
    with pytest.raises(NotFound, match="nothing_such"):
        diff_stores(a, b, ["nothing_such"])


def test_definitions(a: FeatureStore) -> None:
    """Definitions that one side lacks or has otherwise are told, and shared features compared even of other types."""
    b = connect("memory")
    other = FeatureGroup("mixed", 1, [Feature("volume"), Feature("trades"), Feature("more")], interval="1h")
    b.apply(other)
    whole = a.read(GROUP)[["symbol", "timestamp", "volume", "trades"]].assign(more=1.0)
    b.write(other, whole.assign(trades=(whole["trades"] % 1000).astype("float64")))
    found = diff_stores(a, b)

    assert found.only_a == ("group mixed v2", "group notes v1", "view narrow v1")
    assert found.only_b == ()
    [group] = found.groups
    assert any("feature close was removed" in line for line in group.definition)
    assert set(group.features) == {"trades"}
    assert group.compared == 131


def test_views(a: FeatureStore, b: FeatureStore) -> None:
    """A view of one name and version with other features is a difference."""
    b.delete(VIEW)
    b.apply(type(VIEW)("narrow", 1, VIEW.groups, ["close"]))

    assert any(line.startswith("narrow v1: ") for line in diff_stores(a, b).views)


def test_a_store_without_knowledge_time(a: FeatureStore) -> None:
    """Newest states are compared whatever else the backends can do."""
    b = Forgetful()
    copy_store(a, b)

    assert diff_stores(a, b, size=20).equal


FLOATS = st.floats(allow_infinity=False, width=64)


@settings(max_examples=200, derandomize=True, deadline=None)
@given(FLOATS, FLOATS)
def test_ulps_count_the_floats_between(a: float, b: float) -> None:
    """The distance of neighbours is 1, distances do not depend on the order, and 0 means equal."""
    one, other = np.array([a]), np.array([b])
    if math.isnan(a) or math.isnan(b):
        assert bool(Tolerance(ulp=2**60).equal(one, other)[0]) == (math.isnan(a) and math.isnan(b))
        return
    distance = ulps(one, other)[0]

    assert distance == ulps(other, one)[0]
    assert (distance == 0) == (a == b)
    if math.isfinite(math.nextafter(a, math.inf)):
        assert ulps(one, np.nextafter(one, np.inf))[0] == 1


def test_tolerances() -> None:
    """Any one tolerance suffices; without one only the same bits are equal, and NaN equals NaN alone."""
    a, b = np.array([1.0, 100.0, np.nan, 0.0]), np.array([1.0 + 1e-9, 101.0, np.nan, np.nan])

    assert Tolerance().equal(a, b).tolist() == [False, False, True, False]
    assert Tolerance(absolute=1.0).equal(a, b).tolist() == [True, True, True, False]
    assert Tolerance(relative=1e-8).equal(a, b).tolist() == [True, False, True, False]
    assert Tolerance(ulp=5_000_000).equal(a, b).tolist() == [True, False, True, False]
    with pytest.raises(ConfigError, match="relative"):
        Tolerance(relative=-1.0)


@settings(max_examples=50, derandomize=True, deadline=None)
@given(st.lists(st.integers(0, 20), unique=True), st.lists(st.integers(0, 20), unique=True))
def test_aligning_is_a_join_by_key(left: list[int], right: list[int]) -> None:
    """Rows are matched as a loop over keys would match them."""
    a, b = pd.DataFrame({"k": sorted(left)}), pd.DataFrame({"k": sorted(right)})
    found = align(a, b, ["k"])

    assert a["k"].iloc[found.a].tolist() == b["k"].iloc[found.b].tolist() == sorted(set(left) & set(right))
    assert a["k"].iloc[found.only_a].tolist() == sorted(set(left) - set(right))
    assert b["k"].iloc[found.only_b].tolist() == sorted(set(right) - set(left))


class Counting:
    """A store that counts rows between event times for whoever cuts them into pieces."""

    def __init__(self, store: FeatureStore) -> None:
        self.summary, self.read, self._read = store.summary, store.read, store.read

    def event_counts(self, group: FeatureGroup, edges: list[int]) -> list[int]:
        times = self._read(group)["event_time"].dt.as_unit("us").astype("int64")
        return [int(((low <= times) & (times < high)).sum()) for low, high in pairwise(edges)]


@pytest.mark.parametrize("counts", [False, True], ids=["by reading", "by counting"])
@pytest.mark.parametrize("size", [1, 3, 50, 500])
def test_pieces_cover_all_and_are_small(a: FeatureStore, size: int, counts: bool) -> None:
    """Pieces follow one another, cover every row once, and hold no more than asked, but for rows of one instant.

    No instant has more than two rows here, so that pieces of an even number are as large as asked.
    """
    if counts:
        a = cast("FeatureStore", Counting(a))
    for group in (GROUP, NOTES):
        cut = pieces(a, group, size)
        parts = [a.read(group, *piece.range) for piece in cut]
        assert sum(map(len, parts)) == len(a.read(group))
        assert [piece.rows for piece in cut] == [len(part) for part in parts]
        assert all(len(p) <= max(size, p["event_time"].value_counts().max()) for p in parts)
        assert size % 2 or {piece.rows for piece in cut[:-1]} <= {size}
        assert (cut[0].start, cut[-1].end) == (None, None)
        assert [p.end for p in cut[:-1]] == [p.start for p in cut[1:]]
