"""What ``conform`` accepts, gives and refuses, and the plain forms of a frame."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from btcfs import frames
from btcfs.definitions import Feature, FeatureGroup
from btcfs.errors import SchemaError

UTC = timezone.utc
START = datetime(2024, 1, 1, tzinfo=UTC)
GROUP = FeatureGroup(
    "typed",
    1,
    [
        Feature("x"),
        Feature("n", "int64"),
        Feature("up", "bool"),
        Feature("text", "string"),
        Feature("seen", "timestamp"),
    ],
    interval="1h",
)


def good() -> pd.DataFrame:
    opens = pd.Series([START, START + timedelta(hours=1)], dtype=frames.TIMESTAMP)
    return pd.DataFrame(
        {
            "symbol": ["BTC", "BTC"],
            "timestamp": opens,
            "event_time": opens + pd.Timedelta(1, "h"),
            "x": [1.5, np.nan],
            "n": [1, -(2**63)],
            "up": [True, False],
            "text": ["é", None],
            "seen": pd.Series([START, None], dtype=frames.TIMESTAMP),
        }
    )


def test_the_result_has_exactly_the_groups_columns_and_types() -> None:
    """Columns are put in the group's order, types are the documented ones, the index is a range."""
    given = good()[["seen", "x", "event_time", "up", "n", "timestamp", "text", "symbol"]]
    given.index = pd.Index([7, 7])
    found = frames.conform(GROUP, given)

    assert list(found.columns) == list(GROUP.columns)
    assert found.index.equals(pd.RangeIndex(2))
    assert {name: str(t) for name, t in found.dtypes.items()} == {
        "symbol": "object", "timestamp": "datetime64[us, UTC]", "event_time": "datetime64[us, UTC]", "x": "float64",
        "n": "int64", "up": "bool", "text": "object", "seen": "datetime64[us, UTC]",
    }  # fmt: skip
    assert found["text"].tolist() == ["é", None]
    assert found["n"].tolist() == [1, -(2**63)]


def test_conforming_twice_changes_nothing() -> None:
    """A conformed frame conforms to itself."""
    once = frames.conform(GROUP, good())

    pd.testing.assert_frame_equal(frames.conform(GROUP, once), once)


def test_the_input_is_not_changed() -> None:
    """The caller's frame is the same afterwards, in columns, index, types and values."""
    given = good().drop(columns="event_time")
    given.index = pd.Index([3, 1])
    before = given.copy(deep=True)
    frames.conform(GROUP, given)

    pd.testing.assert_frame_equal(given, before)


@pytest.mark.parametrize("index", [[0, 1], [1, 0], [5, 5]])
def test_an_event_time_is_filled_in_by_position(index: list[int]) -> None:
    """A missing event time is the row's open plus the interval, whatever the index says."""
    given = good().drop(columns="event_time").set_axis(index, axis=0)

    assert frames.conform(GROUP, given)["event_time"].tolist() == good()["event_time"].tolist()


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("x", pd.Series([1, 2], dtype="int32")),
        ("x", pd.Series([1.5, None], dtype="Float64")),
        ("x", pd.Series([1.5, 2.5], dtype=pd.ArrowDtype(pa.float64()))),
        ("x", pd.Series([None, None], dtype=object)),
        ("x", pd.Series([2**53, -(2**53)])),
        ("n", pd.Series([2**63 - 1, 2**53 + 1], dtype="Int64")),
        ("n", pd.Series([1.0, -3.0])),
        ("n", pd.Series([2**63 - 1, 0], dtype="uint64")),
        ("up", pd.Series([1, 0])),
        ("up", pd.Series([True, False], dtype="boolean")),
        ("text", pd.Series(["a", None], dtype="string")),
        ("text", pd.Series(["a", "b"], dtype="category")),
        ("text", pd.Series(["a", None], dtype=pd.ArrowDtype(pa.string()))),
        ("text", pd.Series([None, np.nan], dtype=object)),
        ("seen", pd.Series(pd.DatetimeIndex([START, START]).as_unit("s"))),
        ("seen", pd.Series(pd.DatetimeIndex([START, START]).as_unit("ns").tz_convert("Asia/Tokyo"))),
        ("seen", pd.Series([START, START.astimezone(timezone(timedelta(hours=5)))], dtype=object)),
        ("seen", pd.Series([START, START], dtype=pd.ArrowDtype(pa.timestamp("us", "UTC")))),
        ("seen", pd.Series([datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC)], dtype=object)),
    ],
    ids=lambda value: f"{value.dtype}" if isinstance(value, pd.Series) else value,
)
def test_what_loses_nothing_is_accepted(column: str, values: pd.Series) -> None:
    """Other types that hold the same values are cast, exactly."""
    found = frames.conform(GROUP, good().assign(**{column: values}))[column]

    for got, given in zip(found, values, strict=True):
        assert (pd.isna(got) and pd.isna(given)) or got == given


@pytest.mark.parametrize(
    ("column", "values", "words"),
    [
        ("x", ["1.5", "2"], "'1.5'"),
        ("x", [1.0, np.inf], "infinite in row 1"),
        ("x", [2**53 + 1, 0], "2\\*\\*53"),
        ("x", [1j, 0], "complex"),
        ("x", pd.Series([1.0, object()], dtype=object), "x"),
        ("n", [1.5, 2.0], "1.5"),
        ("n", [1.0, np.nan], "missing in row 1"),
        ("n", pd.Series([1, None], dtype="Int64"), "missing in row 1"),
        ("n", pd.Series([2**63, 1], dtype="uint64"), "9223372036854775808"),
        ("n", [1e300, 0.0], "1e"),
        ("up", [2, 0], "2.0"),
        ("up", ["yes", "no"], "'yes'"),
        ("text", [1, 2], "expected text"),
        ("text", ["a", b"b"], "b'b'"),
        ("seen", [1, 2], "int64"),
        ("seen", ["2024-01-01", "2024-01-02"], "seen"),
        ("seen", pd.Series(["2024-01-01", "2024-01-02"], dtype=object), "2024-01-01"),
        ("timestamp", [None, None], "timestamp"),
        ("symbol", [None, "BTC"], "missing in row 0"),
        ("symbol", [7, 8], "7"),
    ],
)  # fmt: skip
def test_what_loses_something_is_refused(column: str, values: Any, words: str) -> None:
    """The error names the column and what it holds."""
    with pytest.raises(SchemaError, match=words) as refusal:
        frames.conform(GROUP, good().assign(**{column: values}))
    assert column in str(refusal.value)


@pytest.mark.parametrize("column", ["timestamp", "event_time", "seen"])
def test_naive_times_are_never_guessed(column: str) -> None:
    """A time column without a zone is refused, as datetime64 and as objects."""
    naive = good()[column].dt.tz_localize(None)
    for values in (
        naive,
        naive.dt.as_unit("ns"),
        pd.Series([t.to_pydatetime() for t in naive if t is not pd.NaT] * 2)[:2].astype(object),
    ):
        with pytest.raises(SchemaError, match="zone"):
            frames.conform(GROUP, good().assign(**{column: values}))


def test_nanoseconds_are_refused() -> None:
    """A stored time has microseconds; a finer one is not rounded."""
    finer = good()["seen"].dt.as_unit("ns") + pd.Timedelta(1, "ns")

    with pytest.raises(SchemaError, match="finer than a microsecond"):
        frames.conform(GROUP, good().assign(seen=finer))


def test_columns_must_be_the_groups() -> None:
    """Missing, unknown and repeated columns are named."""
    with pytest.raises(SchemaError, match="lack x, up and have unknown more"):
        frames.conform(GROUP, good().drop(columns=["x", "up"]).assign(more=1))
    with pytest.raises(SchemaError, match="more than one column named x"):
        frames.conform(GROUP, pd.concat([good(), good()[["x"]]], axis=1))


def test_a_key_stands_once() -> None:
    """A repeated key is refused and named, even with equal content."""
    with pytest.raises(SchemaError, match=r"1 rows repeat a key.*symbol=BTC"):
        frames.conform(GROUP, pd.concat([good(), good().iloc[:1]]))


def test_event_times_follow_the_interval() -> None:
    """With an interval the event time is the close and nothing else, to the microsecond."""
    late = good()["event_time"] + pd.Timedelta(1, "us")

    with pytest.raises(SchemaError, match="expected the open plus 1h"):
        frames.conform(GROUP, good().assign(event_time=late))


def test_a_row_is_known_at_its_close() -> None:
    """A row whose event time is now is accepted, one a microsecond later is still forming."""
    close = START + timedelta(hours=2)

    assert len(frames.conform(GROUP, good(), at=close)) == 2
    with pytest.raises(SchemaError, match="forming"):
        frames.conform(GROUP, good(), at=close - timedelta(microseconds=1))


def test_an_empty_frame_conforms() -> None:
    """No rows are rows of any group, typed as always, whatever type emptiness has."""
    for nothing in (good().iloc[:0], pd.DataFrame(columns=list(GROUP.columns)), frames.empty(GROUP)):
        pd.testing.assert_frame_equal(frames.conform(GROUP, nothing), frames.empty(GROUP))


def test_chunks_conform_each_frame() -> None:
    """One frame is a stream of one; a stream is conformed lazily."""
    assert [len(part) for part in frames.chunks(GROUP, good())] == [2]
    stream = frames.chunks(GROUP, iter([good()[:1], good().drop(columns="x")]))
    assert len(next(stream)) == 1
    with pytest.raises(SchemaError):
        next(stream)


def test_records_are_the_frame() -> None:
    """A frame through plain Python values and back is the same frame; so is an empty one."""
    for frame in (frames.conform(GROUP, good()), frames.empty(GROUP)):
        pd.testing.assert_frame_equal(frames.from_records(GROUP, frames.to_records(GROUP, frame)), frame)


def test_between_is_half_open() -> None:
    """Rows from the start on and before the end are kept, on a fresh index; None is no bound."""
    frame = frames.conform(GROUP, good())
    first, second = frame["event_time"]

    assert frames.between(GROUP, frame, first, second)["n"].tolist() == [1]
    assert frames.between(GROUP, frame, second, None).index.tolist() == [0]
    assert len(frames.between(GROUP, frame, None, first)) == 0
    assert len(frames.between(GROUP, frame, None, None)) == 2


def test_micros_cut_off_and_come_back() -> None:
    """Microseconds of a column are the instants, cut off towards the past on both sides of 1970."""
    values = np.array([-(10**15), -1, 0, 1, 10**15])
    column = frames.from_micros_array(values)
    assert frames.micros(column).tolist() == values.tolist()
    early = pd.Series(pd.to_datetime([-1, 999], unit="ns", utc=True))
    assert frames.micros(early).tolist() == [-1, 0]
    with pytest.raises(SchemaError, match="zone"):
        frames.micros(column.dt.tz_localize(None))
