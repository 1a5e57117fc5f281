"""The laws of reading: which rows, in which order, columns and types."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import attrs
import pandas as pd
import pytest

from btcfs import frames
from btcfs.definitions import Feature
from btcfs.errors import DefinitionError, NotFound, SchemaError
from btcfs.store import Capability, FeatureStore, Summary
from btcfs.testing.backends.comparing import assert_same
from btcfs.testing.backends.examples import HOUR, MICROSECOND, START, candle_group, candles, event_group, put, rows
from btcfs.testing.backends.kit import Kit, needs


class ReadingLaws(Kit):
    """``read`` and ``summary``."""

    @needs(Capability.SCAN)
    def test_rows_are_ordered_by_primary_key(self, store: FeatureStore) -> None:
        """The order is that of the key's columns, not of the writes nor of the event times."""
        group = event_group("a")
        backwards = event_group("a", primary_key=("timestamp", "symbol"))
        writes = [[("B", 0, 5), ("A", 2, 1)], [("A", 0, 7)], [("B", 1, 2), ("A", 1, 3)]]
        for each in (group, backwards):
            store.apply(each)
            for written in writes:
                records = []
                for symbol, opens, event in written:
                    parts = {"symbol": symbol, "timestamp": START + opens * HOUR}
                    records.append((*map(parts.get, each.primary_key), START + event * HOUR, float(event)))
                store.write(each, rows(each, *records))

        assert store.read(group)["a"].tolist() == [7.0, 3.0, 1.0, 5.0, 2.0]
        assert store.read(backwards)["a"].tolist() == [7.0, 5.0, 3.0, 2.0, 1.0]

    @needs(Capability.SCAN)
    def test_ranges_are_half_open(self, store: FeatureStore) -> None:
        """A row is in the range if start <= event time < end, to the microsecond; either end may be left out."""
        group = event_group("a")
        times = [START - MICROSECOND, START, START + MICROSECOND, START + HOUR - MICROSECOND, START + HOUR]
        put(store, group, rows(group, *[("X", START - HOUR + n * HOUR, t, float(n)) for n, t in enumerate(times)]))

        def found(start: datetime | None, end: datetime | None) -> list[float]:
            return list(store.read(group, start, end)["a"])

        assert found(None, None) == [0, 1, 2, 3, 4]
        assert found(START, None) == [1, 2, 3, 4]
        assert found(None, START) == [0]
        assert found(START, START + HOUR) == [1, 2, 3]
        assert found(START, START + MICROSECOND) == [1]
        assert found(START + MICROSECOND, START + HOUR + MICROSECOND) == [2, 3, 4]
        assert found(START, START) == []
        assert found(START + HOUR, START) == []
        assert found(START + HOUR + MICROSECOND, None) == []

    @needs(Capability.SCAN)
    def test_bounds_of_any_zone(self, store: FeatureStore) -> None:
        """A bound is an instant: the zone it is written in makes no difference, a bound without one is refused."""
        group = candle_group()
        put(store, group, candles(group, 5))
        tokyo = timezone(timedelta(hours=9))
        start, end = START + 2 * HOUR, START + 4 * HOUR

        expected = store.read(group, start, end)
        assert len(expected) == 2
        assert_same(
            store.read(group, start.astimezone(tokyo), pd.Timestamp(end).tz_convert("America/New_York")), expected
        )
        with pytest.raises(SchemaError):
            store.read(group, start.replace(tzinfo=None))
        with pytest.raises(SchemaError):
            store.read(group, None, end.replace(tzinfo=None))

    @needs(Capability.SCAN)
    def test_an_entity_is_read_alone(self, store: FeatureStore) -> None:
        """``entity`` keeps the rows with these key values, one column or several; an unknown value has no rows."""
        group = candle_group("a", primary_key=("symbol", "venue", "timestamp"))
        plain = candle_group("a")
        parts = [
            candles(plain, 3, symbol=symbol, seed=n).assign(venue=venue)
            for n, (symbol, venue) in enumerate([("BTC", "x"), ("BTC", "y"), ("ETH", "x")])
        ]
        put(store, group, pd.concat(parts, ignore_index=True))
        first, second, third = (frames.conform(group, part) for part in parts)

        assert_same(store.read(group, entity={"symbol": "ETH"}), third)
        assert_same(store.read(group, entity={"venue": "y", "symbol": "BTC"}), second)
        assert_same(store.read(group, entity={"symbol": "BTC"}), pd.concat([first, second], ignore_index=True))
        assert_same(
            store.read(group, START + 3 * HOUR, entity={"venue": "x", "symbol": "BTC"}),
            first[2:].reset_index(drop=True),
        )
        assert len(store.read(group, entity={"symbol": "DOGE"})) == 0
        assert store.summary(group, {"symbol": "BTC"}) == Summary(6, START + HOUR, START + 3 * HOUR)
        assert store.summary(group, {"symbol": "DOGE"}) == Summary(0, None, None)
        for call in (lambda: store.read(group, entity={"market": "x"}), lambda: store.summary(group, {"market": "x"})):
            with pytest.raises(SchemaError, match="market"):
                call()

    @needs(Capability.SCAN)
    def test_columns_are_chosen_and_ordered(self, store: FeatureStore) -> None:
        """``columns`` gives these columns in this order, the rows still by key and in range; an unknown one is refused."""
        group = candle_group("a", "b", Feature("text", "string"))
        frame = candles(candle_group("a", "b"), 4).assign(text=["one", None, "three", "four"])
        put(store, group, frame.iloc[::-1])

        for columns in (("b", "a"), ("text",), ("event_time", "b"), ("a", "symbol"), group.columns):
            assert_same(store.read(group, columns=columns), frames.conform(group, frame)[list(columns)])
        narrow = store.read(group, START + 2 * HOUR, START + 4 * HOUR, columns=["b"], entity={"symbol": "BTC-USD"})
        assert_same(narrow, frame[["b"]].iloc[1:3].reset_index(drop=True))
        with pytest.raises(SchemaError, match="absent"):
            store.read(group, columns=["a", "absent"])

    @needs(Capability.SCAN)
    def test_an_empty_result_has_its_columns(self, store: FeatureStore) -> None:
        """Without rows, a frame has the same columns and types as with."""
        dtypes = ("float64", "int64", "bool", "string", "timestamp")
        group = event_group(*[Feature(f"f_{dtype}", dtype) for dtype in dtypes])
        store.apply(group)
        assert_same(store.read(group), frames.empty(group))
        store.write(group, rows(group, ("X", START, START, 1.0, 1, True, "one", START)))

        assert_same(store.read(group, end=START), frames.empty(group))
        assert_same(store.read(group, entity={"symbol": "Y"}), frames.empty(group))
        assert {name: str(t) for name, t in store.read(group).dtypes.items()} == {
            name: str(t) for name, t in frames.empty(group).dtypes.items()
        }

    @needs(Capability.SCAN)
    def test_a_frame_read_is_the_readers(self, store: FeatureStore) -> None:
        """Changing a frame that was read changes neither the store nor the next reader's frame."""
        group = candle_group()
        put(store, group, candles(group, 4))
        mine = store.read(group)
        mine["a"] = 0.0
        mine.iloc[0, mine.columns.get_loc("b")] = -1.0
        columns = store.read(group, columns=["b"])
        columns.iloc[:, 0] = 0.0

        assert_same(store.read(group), candles(group, 4))

    @needs(Capability.SCAN)
    def test_what_is_not_applied_is_not_read(self, store: FeatureStore) -> None:
        """An unknown group or version is NotFound and named; a definition unlike the stored one is refused."""
        group = candle_group()
        store.apply(group)
        unknown = candle_group()
        later = attrs.evolve(group, version=2)
        other = candle_group("a", "c", name=group.name)

        for call in (store.read, store.summary):
            with pytest.raises(NotFound, match=unknown.name):
                call(unknown)
            with pytest.raises(NotFound, match="version 2"):
                call(later)
            with pytest.raises(DefinitionError):
                call(other)

    @needs()
    def test_a_summary_counts_the_newest_state(self, store: FeatureStore) -> None:
        """Rows, first and last event time of what a read would give, corrected rows counted once."""
        group = candle_group()
        store.apply(group)
        assert store.summary(group) == Summary(0, None, None)
        frame = candles(group, 5)
        store.write(group, frame.iloc[3:])
        store.write(group, frame.iloc[:4].assign(a=0.0))
        store.write(group, frame)

        assert store.summary(group) == Summary(5, START + HOUR, START + 5 * HOUR)
        moved = event_group("a")
        put(store, moved, rows(moved, ("X", START, START + 9 * HOUR, 1.0)))
        store.write(moved, rows(moved, ("X", START, START + 2 * HOUR, 1.0)))
        assert store.summary(moved) == Summary(1, START + 2 * HOUR, START + 2 * HOUR)
