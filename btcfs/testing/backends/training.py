"""The laws of training frames: each spine row with what was known at its instant, and nothing later."""

from __future__ import annotations

from datetime import datetime, timedelta

import attrs
import numpy as np
import pandas as pd
import pytest

from btcfs.errors import DefinitionError, NotFound, SchemaError
from btcfs.instants import UTC
from btcfs.store import FeatureStore
from btcfs.testing.backends.comparing import assert_same, bits, naive_join
from btcfs.testing.backends.examples import (
    HOUR,
    MICROSECOND,
    START,
    candle_group,
    candles,
    event_group,
    instants,
    put,
    rows,
    spine,
    static_group,
    view_of,
)  # fmt: skip
from btcfs.testing.backends.kit import Kit, needs


class TrainingLaws(Kit):
    """``get_historical_features``."""

    @needs()
    def test_no_peeking_by_a_microsecond(self, store: FeatureStore) -> None:
        """A row is known from its event time on: at that instant, and not a microsecond before."""
        group = candle_group("a")
        frame = candles(group, 3)
        put(store, group, frame)
        view = view_of(group)
        store.apply(view)
        one, two, three = frame["a"]
        closes = [START + n * HOUR for n in (1, 2, 3)]
        steps = [step for close in closes for step in (close - MICROSECOND, close, close + MICROSECOND)]
        found = store.get_historical_features(view, spine(group, *[("BTC-USD", step) for step in steps]))

        assert bits(found["a"]) == bits([np.nan, one, one, one, two, two, two, three, three])

    @needs()
    def test_finer_instants_are_cut_off(self, store: FeatureStore) -> None:
        """An instant of nanoseconds before the event time does not know the row, on either side of 1970."""
        group = candle_group("a")
        epoch = datetime(1970, 1, 1, tzinfo=UTC)
        closes = {"X": START + HOUR, "Y": epoch}
        view = view_of(group)
        store.apply(group)
        store.apply(view)
        for symbol, close in closes.items():
            store.write(group, candles(group, 1, symbol=symbol, start=close - HOUR))

        for symbol, close in closes.items():
            exact = pd.Series(pd.DatetimeIndex([close]).as_unit("ns"))
            given = [
                pd.DataFrame({"symbol": [symbol], "event_time": exact + pd.Timedelta(n, "ns")}) for n in (-1, 0, 1)
            ]
            found = [store.get_historical_features(view, frame) for frame in given]
            assert [frame["a"].isna()[0] for frame in found] == [True, False, False]
            assert_same(found[0][["symbol", "event_time"]], given[0])

    @needs()
    def test_one_row_out_per_spine_row_in(self, store: FeatureStore) -> None:
        """Order, index, repeated rows, other columns and their types are the spine's; the spine is not changed."""
        group = candle_group("a")
        frame = candles(group, 5)
        put(store, group, frame)
        view = view_of(group)
        store.apply(view)
        given = spine(group, *[("BTC-USD", START + n * HOUR) for n in (4, 1, 9, 1, 0, 3)]).assign(
            weight=[0, 1, 2, 1, 4, 5], note=["x", None, "z", None, "y", "y"]
        )[["note", "event_time", "weight", "symbol"]]
        given.index = pd.Index(["f", "a", "a", "b", "z", "c"], name="row")
        before = given.copy(deep=True)
        found = store.get_historical_features(view, given)

        assert_same(given, before)
        assert_same(found, naive_join(view, given, [(group, frame)]))
        assert found.index.name == "row"
        found["weight"] = 0
        found["a"] = 0.0
        assert_same(given, before)
        assert_same(store.get_historical_features(view, given), naive_join(view, given, [(group, frame)]))

    @needs()
    def test_what_was_not_known_is_missing(self, store: FeatureStore) -> None:
        """Before the first row, for an unknown entity, and from an empty group, features are NaN."""
        group, bare = candle_group("a"), candle_group("b")
        put(store, group, candles(group, 2))
        store.apply(bare)
        view = view_of(group, bare)
        store.apply(view)
        found = store.get_historical_features(
            view, spine(group, ("BTC-USD", START), ("DOGE", START + HOUR), ("BTC-USD", START + HOUR))
        )

        assert bits(found["a"]) == bits([np.nan, np.nan, candles(group, 1)["a"][0]])
        assert found["b"].isna().all()

    @needs()
    def test_features_come_in_the_views_order(self, store: FeatureStore) -> None:
        """After the spine's columns stand the view's features, as it orders them, each of type float64."""
        one, two = candle_group("a", "z", "c"), candle_group("y", "b")
        put(store, one, candles(one, 2, seed=1))
        put(store, two, candles(two, 2, seed=2))
        view = view_of(one, two, features=("y", "c", "b", "a"))
        store.apply(view)
        given = spine(one, ("BTC-USD", START + 2 * HOUR))
        found = store.get_historical_features(view, given)

        assert list(found.columns) == ["symbol", "event_time", "y", "c", "b", "a"]
        assert {str(found[name].dtype) for name in view.features} == {"float64"}
        assert_same(found, naive_join(view, given, [(one, candles(one, 2, seed=1)), (two, candles(two, 2, seed=2))]))

    @needs()
    def test_an_empty_spine(self, store: FeatureStore) -> None:
        """No rows in, no rows out, and all the columns."""
        group = candle_group("a")
        put(store, group, candles(group, 2))
        view = view_of(group)
        store.apply(view)
        for given in (candles(group, 0)[["symbol", "event_time"]], pd.DataFrame({"symbol": [], "event_time": []})):
            found = store.get_historical_features(view, given)

            assert list(found.columns) == ["symbol", "event_time", "a"]
            assert len(found) == 0
            assert found["a"].dtype == "float64"

    @needs()
    def test_a_spine_must_say_who_and_when(self, store: FeatureStore) -> None:
        """A spine without entity or instant, with a naive or missing one, or with a column named like a feature, is refused."""
        group = candle_group("a")
        put(store, group, candles(group, 2))
        view = view_of(group)
        store.apply(view)
        good = spine(group, ("BTC-USD", START + HOUR), ("BTC-USD", START + HOUR))
        naive = good.assign(event_time=good["event_time"].dt.tz_localize(None))
        wrong = {
            "symbol": good.drop(columns="symbol"),
            "event_time": good.drop(columns="event_time"),
            "a": good.assign(a=1.0),
            "zone": naive,
            "in row 1": good.assign(event_time=instants([START, None])),
            "row 1|None|nan": good.assign(symbol=["BTC-USD", None]),
            "7": good.assign(symbol=[7, 7]),
            "event_time|time": good.assign(event_time=[1, 2]),
        }

        for word, given in wrong.items():
            with pytest.raises(SchemaError, match=word):
                store.get_historical_features(view, given)

    @needs()
    def test_the_spines_zone_does_not_matter(self, store: FeatureStore) -> None:
        """Instants are compared, not clock faces, and the spine's own column keeps its zone."""
        group = candle_group("a")
        put(store, group, candles(group, 8))
        view = view_of(group)
        store.apply(view)
        given = spine(group, *[("BTC-USD", START + n * HOUR) for n in range(9)])
        local = given.assign(event_time=given["event_time"].dt.tz_convert("America/New_York"))
        found = store.get_historical_features(view, local)

        assert bits(found["a"]) == bits(store.get_historical_features(view, given)["a"])
        assert str(found["event_time"].dtype) == str(local["event_time"].dtype)

    @needs()
    def test_the_newest_is_the_last_to_be_known(self, store: FeatureStore) -> None:
        """The newest row is that of the greatest event time, of the greatest key among equals, not the last written."""
        group = event_group("a")
        view = view_of(group)
        hours = [(0, 5), (1, 2), (2, 2), (3, 7), (4, 1)]
        store.apply(group)
        store.apply(view)
        for opens, event in reversed(hours):
            store.write(group, rows(group, ("X", START + opens * HOUR, START + event * HOUR, float(opens))))
        found = store.get_historical_features(view, spine(group, *[("X", START + n * HOUR) for n in range(9)]))

        assert bits(found["a"]) == bits([np.nan, 4.0, 2.0, 2.0, 2.0, 0.0, 0.0, 3.0, 3.0])

    @needs()
    def test_what_is_not_applied_is_not_joined(self, store: FeatureStore) -> None:
        """An unknown view or version is NotFound and named; a view unlike the stored one is refused."""
        group = candle_group("a", "b")
        view = view_of(group, features=("a",))
        store.apply(group)
        given = spine(group, ("BTC-USD", START))
        with pytest.raises(NotFound, match=view.name):
            store.get_historical_features(view, given)
        store.apply(view)

        with pytest.raises(NotFound, match="version 2"):
            store.get_historical_features(attrs.evolve(view, version=2), given)
        with pytest.raises(DefinitionError):
            store.get_historical_features(attrs.evolve(view, features=("b",)), given)

    @needs()
    def test_a_join_equals_a_naive_loop(self, store: FeatureStore) -> None:
        """Random groups of other intervals and keys, joined at random instants, equal a double loop."""
        hourly = candle_group("a", "b")
        daily = candle_group("c", interval="1d")
        market = event_group("d", primary_key=("timestamp",))
        static = static_group("e")
        draw = np.random.default_rng(3)
        coins = ["BTC", "ETH", "DOGE"]
        tables = {
            hourly: pd.concat(
                [candles(hourly, 40, symbol=c, seed=n) for n, c in enumerate(coins[:2])], ignore_index=True
            ),
            daily: candles(daily, 3, symbol="BTC", start=START - timedelta(days=2)),
            market: rows(market, *[(START + n * HOUR, START + (n * 7 % 11) * HOUR, draw.normal()) for n in range(12)]),
            static: rows(static, *[(c, START + n * 9 * HOUR, draw.normal()) for n, c in enumerate(coins[:2])]),
        }
        for group, table in tables.items():
            put(store, group, table.sort_values(list(group.primary_key), ascending=False))
            tables[group] = table.sort_values(list(group.primary_key), ignore_index=True)
        view = view_of(*tables, features=("e", "b", "c", "d", "a"))
        store.apply(view)

        def instant() -> datetime:
            return START + int(draw.integers(-30, 60)) * HOUR + int(draw.integers(-1, 2)) * MICROSECOND

        given = spine(hourly, *[(str(draw.choice([*coins, "XRP"])), instant()) for _ in range(120)])
        assert_same(store.get_historical_features(view, given), naive_join(view, given, list(tables.items())))
