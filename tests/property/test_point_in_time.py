"""The point-in-time join on arrays and frames, compared with a naive double loop."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from btcfs import catalogue, frames, point_in_time
from btcfs.definitions import Feature, FeatureGroup, FeatureView
from btcfs.errors import SchemaError
from btcfs.instants import UTC, from_micros
from btcfs.testing.backends.comparing import assert_same, naive_join

LAW = settings(derandomize=True, max_examples=300, deadline=None)
START = datetime(2024, 1, 1, tzinfo=UTC)

near = st.integers(-6, 6)
far = st.sampled_from([-(2**62), -(2**53) - 1, 2**53, 2**62])
instants = st.one_of(near, far)
rows_and_spine = st.tuples(
    st.lists(st.tuples(st.integers(0, 3), instants), max_size=12),
    st.lists(st.tuples(st.integers(-1, 4), instants), max_size=12),
)


def newest_known(rows: list[tuple[int, int]], entity: int, instant: int) -> int:
    best = -1
    for position, (owner, time) in enumerate(rows):
        if owner == entity and time <= instant and (best < 0 or time >= rows[best][1]):
            best = position
    return best


def arrays(pairs: list[tuple[int, int]]) -> tuple[Any, Any]:
    codes, times = zip(*pairs, strict=True) if pairs else ((), ())
    return np.array(codes, dtype="int64"), np.array(times, dtype="int64")


@LAW
@given(rows_and_spine, st.booleans(), st.booleans())
def test_match_equals_a_double_loop(case: Any, sorted_rows: bool, sorted_spine: bool) -> None:
    """Each position is the last of the newest rows of its entity known then, in whatever order both sides come."""
    rows, spine = case
    rows = sorted(rows) if sorted_rows else rows
    spine = sorted(spine, key=lambda pair: pair[1]) if sorted_spine else spine
    found = point_in_time.match(*arrays(spine), *arrays(rows))

    assert found.tolist() == [newest_known(rows, *asked) for asked in spine]
    assert found.dtype == np.int64


@LAW
@given(st.lists(near, min_size=1, max_size=12), st.lists(near, max_size=12))
def test_one_entity_equals_a_double_loop(times: list[int], asked: list[int]) -> None:
    """The short way for a single entity gives what the long way gives."""
    rows, spine = [(0, time) for time in times], [(0, time) for time in asked]
    found = point_in_time.match(*arrays(spine), *arrays(rows))

    assert found.tolist() == [newest_known(rows, *pair) for pair in spine]


@LAW
@given(st.lists(st.integers(-1, 4), max_size=12), st.sampled_from(["float64", "int64", "bool"]))
def test_gather_takes_or_leaves_nan(positions: list[int], dtype: str) -> None:
    """Values of any number type come as float64, and where nothing was known there is NaN."""
    columns = [np.array([1, 0, 3, 4, 5]).astype(dtype), np.array([0, 7, 8, 9, 9]).astype(dtype)]
    out = np.full((2, len(positions)), -1.0)
    point_in_time.gather(columns, np.array(positions, dtype="int64"), list(out))

    for column, found in zip(columns, out, strict=True):
        np.testing.assert_array_equal(found, [float(column[p]) if p >= 0 else np.nan for p in positions])


def test_gather_in_threads_equals_gather_alone() -> None:
    """Above the size that is worth threads the values are the same."""
    draw = np.random.default_rng(0)
    columns = [draw.normal(size=1000) for _ in range(12)]
    positions = draw.integers(-1, 1000, 100_000)
    out = np.empty((12, 100_000))
    point_in_time.gather(columns, positions, list(out))

    for column, found in zip(columns, out, strict=True):
        np.testing.assert_array_equal(found, np.where(positions < 0, np.nan, column[positions]))


def group(name: str, *features: str | Feature, **options: Any) -> FeatureGroup:
    columns = [Feature(f) if isinstance(f, str) else f for f in features]
    return FeatureGroup(name, 1, columns, **{"primary_key": ("symbol", "timestamp"), **options})


def without_event_time(key: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(key[place] for place in range(len(key) - 1))


@st.composite
def tables(draw: st.DrawFn, of: FeatureGroup) -> pd.DataFrame:
    """Rows of a group by primary key, at instants so near each other that ties and misses by a microsecond abound."""
    places = [st.sampled_from(["a", "b", "ab"]) for _ in of.entity]
    keys = draw(st.lists(st.tuples(*places, st.integers(0, 5), near), max_size=10, unique_by=without_event_time))
    records = []
    for *entity, opens, event in keys:
        parts = {**dict(zip(of.entity, entity, strict=True)), "timestamp": opens}
        values = [len(records) % 2 if f.dtype == "bool" else len(records) for f in of.features]
        records.append((*(parts[name] for name in of.primary_key), event, *values))
    return frames.from_records(of, sorted(records))


LEADING = group("leading", "x", Feature("n", "int64"), primary_key=("symbol", "venue", "timestamp"))
FEWER = group("fewer", "y", Feature("up", "bool"))
MARKET = group("market", "z", primary_key=("timestamp",), event_time="known_at")
SWAPPED = group("swapped", "w", primary_key=("timestamp", "venue", "symbol"))
VIEW = FeatureView("view", 1, [g.ref for g in (LEADING, FEWER, MARKET, SWAPPED)], ("w", "n", "up", "z", "x", "y"))
RESOLVED = catalogue.resolve([LEADING, FEWER, MARKET, SWAPPED], VIEW)


@settings(LAW, max_examples=100)
@given(st.data(), st.booleans())
def test_join_equals_a_double_loop(data: st.DataObject, arrow: bool) -> None:
    """Groups with fewer, swapped and no entity columns are joined like a loop over all pairs, from frames or tables."""
    stored = {each: data.draw(tables(each)) for each in (LEADING, FEWER, MARKET, SWAPPED)}
    texts = st.sampled_from(["a", "b", "ab", "c"])
    asked = data.draw(st.lists(st.tuples(texts, texts, near), max_size=10))
    spine = pd.DataFrame(
        {
            "venue": pd.Series([venue for venue, _, _ in asked], dtype=object),
            "event_time": pd.Series([from_micros(time) for _, _, time in asked], dtype=frames.TIMESTAMP),
            "symbol": pd.Series([symbol for _, symbol, _ in asked], dtype=object),
        }
    )

    def read(of: FeatureGroup, columns: tuple[str, ...], end: datetime) -> Any:
        frame = stored[of]
        found = frame[frame[of.event_time] < end][list(columns)]
        return pa.Table.from_pandas(found, preserve_index=False) if arrow else found

    found = point_in_time.join(RESOLVED, spine, read)
    assert_same(found, naive_join(VIEW, spine, list(stored.items())))


def joined(spine: pd.DataFrame, times: list[datetime]) -> pd.DataFrame:
    """The feature a, 0 for the first of these instants, 1 for the next, at each spine row."""
    of = group("one", "a")
    view = catalogue.resolve([of], FeatureView("view", 1, [of.ref], ("a",)))
    rows = pd.DataFrame({"symbol": "X", "event_time": pd.Series(times, dtype=frames.TIMESTAMP), "a": range(len(times))})
    return point_in_time.join(view, spine, lambda *_: rows)


@pytest.mark.parametrize("at", [START, datetime(1970, 1, 1, tzinfo=UTC), datetime(1950, 1, 1, tzinfo=UTC)])
@pytest.mark.parametrize(("nanoseconds", "known"), [(-1000, False), (-1, False), (0, True), (1, True)])
def test_nanoseconds_are_cut_off(at: datetime, nanoseconds: int, known: bool) -> None:
    """An instant a nanosecond before the event time does not know the row, before 1970 too."""
    instant = pd.Series(pd.DatetimeIndex([at]).as_unit("ns")) + pd.Timedelta(nanoseconds, "ns")
    found = joined(pd.DataFrame({"symbol": ["X"], "event_time": instant}), [at])

    assert found["a"].notna().tolist() == [known]


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_spines_of_any_unit_and_kind(unit: str) -> None:
    """Coarser units, Arrow-backed columns, categories and objects of zoned datetimes are the instants and texts they say."""
    times = [START + timedelta(hours=n) for n in range(4)]
    instants = pd.Series(pd.DatetimeIndex(times).as_unit(unit))
    spines = [
        pd.DataFrame({"symbol": ["X"] * 4, "event_time": instants}),
        pd.DataFrame({"symbol": pd.Categorical(["X"] * 4), "event_time": instants.dt.tz_convert("Asia/Tokyo")}),
        pd.DataFrame({"symbol": pd.Series(["X"] * 4, dtype="string"), "event_time": instants.astype(object)}),
        pd.DataFrame({"symbol": ["X"] * 4, "event_time": instants.astype(pd.ArrowDtype(pa.timestamp(unit, "UTC")))}),
    ]

    for spine in spines:
        found = joined(spine, times[1:3])
        np.testing.assert_array_equal(found["a"], [np.nan, 0.0, 1.0, 1.0])
        assert found["event_time"].dtype == spine["event_time"].dtype


def test_a_spine_that_says_too_little_is_refused() -> None:
    """The error names the column and the row."""
    good = pd.DataFrame({"symbol": ["X", "X"], "event_time": pd.Series([START, START], dtype=frames.TIMESTAMP)})
    wrong = {
        "lacks symbol": good.drop(columns="symbol"),
        "time zone": good.assign(event_time=good["event_time"].dt.tz_localize(None)),
        "no event_time in row 1": good.assign(event_time=pd.Series([START, None], dtype=frames.TIMESTAMP)),
        "nothing in row 1 as symbol": good.assign(symbol=["X", None]),
        "3 as symbol": good.assign(symbol=["X", 3]),
        "named like its features: a": good.assign(a=1.0),
        "more than one column named symbol": pd.concat([good, good[["symbol"]]], axis=1),
        "expected timestamps": good.assign(event_time=[1.0, 2.0]),
    }

    for words, spine in wrong.items():
        with pytest.raises(SchemaError, match=words):
            joined(spine, [START])


@pytest.mark.parametrize("dtype", ["object", "string", "category", pd.ArrowDtype(pa.string())])
def test_a_missing_entity_is_found_among_equal_ones(dtype: Any) -> None:
    """One symbol all the way down is looked at once, but a gap in it is still refused, in every type of text."""
    symbols = pd.Series(["X", None, "X"], dtype=object).astype(dtype)
    spine = pd.DataFrame({"symbol": symbols, "event_time": pd.Series([START] * 3, dtype=frames.TIMESTAMP)})

    with pytest.raises(SchemaError, match="nothing in row 1 as symbol"):
        joined(spine, [START])


@pytest.mark.parametrize("symbols", [["X", "X", "X"], ["X", "Y", "X"], ["Y", "X", "X"]])
@pytest.mark.parametrize("dtype", ["object", "str", "dictionary"])
def test_entities_of_a_table_are_encoded(symbols: list[str], dtype: str) -> None:
    """Rows whose symbols are all the same, begin and end the same, or differ, keep their owners, in chunks as well."""
    column = pa.chunked_array([symbols[:1], symbols[1:]])
    column = column.dictionary_encode() if dtype == "dictionary" else column
    table = pa.table(
        {"symbol": column, "event_time": pa.array([START] * 3, pa.timestamp("us", "UTC")), "a": [0.0, 1.0, 2.0]}
    )
    rows = table.to_pandas().astype({"symbol": dtype}) if dtype != "dictionary" else table
    of = group("one", "a")
    view = catalogue.resolve([of], FeatureView("view", 1, [of.ref], ("a",)))
    spine = pd.DataFrame({"symbol": ["X", "Y"], "event_time": pd.Series([START] * 2, dtype=frames.TIMESTAMP)})

    for known in (rows, table):
        found = point_in_time.join(view, spine, lambda *_, known=known: known)["a"]
        last = {symbol: float(place) for place, symbol in enumerate(symbols)}
        np.testing.assert_array_equal(found, [last.get("X", np.nan), last.get("Y", np.nan)])


def test_rows_are_asked_up_to_the_last_instant() -> None:
    """A backend is asked for the columns it needs to give, and for nothing that is known only later."""
    of = group("one", "a", "b", "c")
    view = catalogue.resolve([of], FeatureView("view", 1, [of.ref], ("c", "a")))
    spine = pd.DataFrame({"symbol": ["X", "X"], "event_time": [START, START - timedelta(days=1)]})
    asked = []

    def read(*what: Any) -> pd.DataFrame:
        asked.append(what)
        return frames.empty(of)[list(what[1])]

    point_in_time.join(view, spine, read)
    point_in_time.join(view, spine.iloc[:0], read)
    assert asked == [(of, ("symbol", "event_time", "c", "a"), START + timedelta(microseconds=1))]
