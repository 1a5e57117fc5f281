"""The laws of views over several groups: online and offline give the same numbers."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pandas as pd

from btcfs.store import Capability, FeatureStore
from btcfs.testing.backends.comparing import bits, vector
from btcfs.testing.backends.examples import (
    DAY,
    HOUR,
    START,
    candle_group,
    candles,
    event_group,
    put,
    rows,
    spine,
    static_group,
    view_of,
)
from btcfs.testing.backends.kit import Kit, OpenStore, needs


class ViewLaws(Kit):
    """``get_online_features`` beside ``get_historical_features``."""

    @needs(Capability.ONLINE)
    def test_online_equals_offline(self, store: FeatureStore, open_store: OpenStore) -> None:
        """For every row of a view's first group, the vector of its key has the bits of the training frame at its event time."""
        hourly, daily = candle_group("a", "b"), candle_group("c", interval="1d")
        market, static = event_group("d", primary_key=("timestamp",)), static_group("e")
        coins = ["BTC", "ETH"]
        frame = pd.concat([candles(hourly, 60, symbol=c, seed=n) for n, c in enumerate(coins)], ignore_index=True)
        put(store, hourly, frame.assign(b=frame["b"].where(frame["b"] > 95)))
        put(
            store,
            daily,
            pd.concat([candles(daily, 3, symbol=c, seed=n, start=START - DAY) for n, c in enumerate(coins)]),
        )
        put(
            store, market, rows(market, *[(START + n * HOUR, START + (n * 7 % 11) * HOUR, float(n)) for n in range(12)])
        )
        put(store, static, rows(static, ("ETH", START + 30 * HOUR, 1.5)))
        store.write(hourly, frame.iloc[10:90:3].assign(a=0.0))
        store.write(daily, candles(daily, 1, symbol="ETH").assign(c=8.0))
        view = view_of(hourly, daily, market, static, features=("e", "b", "c", "a", "d"))
        store.apply(view)
        offline = store.get_historical_features(view, frame[["symbol", "event_time"]])[list(view.features)]
        keys = frame[["symbol", "timestamp"]].to_dict("records")

        with open_store() as later:
            for each in (store, later):
                online = np.array([found.values for found in each.get_online_features(view, keys)])
                assert bits(online.ravel()) == bits(offline.to_numpy().ravel())
        assert offline.notna().any().all()
        assert offline[["b", "c", "d", "e"]].isna().any().tolist() == [True, False, False, True]

    @needs(Capability.ONLINE)
    def test_a_full_key_knows_no_later_row(self, store: FeatureStore) -> None:
        """From the other groups comes the newest row known at the keyed row's event time, and the vector's time is that one."""
        hourly, daily = candle_group("a"), candle_group("c", interval="1d")
        put(store, hourly, candles(hourly, 50))
        put(store, daily, candles(daily, 3))
        view = view_of(hourly, daily)
        store.apply(view)
        first, second, _ = candles(daily, 3)["c"]

        for opens, expected in ((22, np.nan), (23, first), (24, first), (46, first), (47, second)):
            found = vector(store, view, symbol="BTC-USD", timestamp=START + opens * HOUR)
            assert bits(found.values[1:]) == bits([expected])
            assert found.event_time == START + (opens + 1) * HOUR

    @needs(Capability.ONLINE)
    def test_an_entity_gives_the_newest_of_each_group(self, store: FeatureStore) -> None:
        """Without the time each group gives its newest row, and the vector is as new as the newest of them."""
        hourly, daily = candle_group("a"), candle_group("c", interval="1d")
        put(store, hourly, candles(hourly, 5))
        put(store, daily, candles(daily, 3))
        view = view_of(hourly, daily)
        store.apply(view)
        found = vector(store, view, symbol="BTC-USD")

        assert bits(found.values) == bits([candles(hourly, 5)["a"][4], candles(daily, 3)["c"][2]])
        assert found.event_time == START + 3 * DAY
        assert dict(found.key) == {"symbol": "BTC-USD", "timestamp": START + 4 * HOUR}

    @needs(Capability.ONLINE)
    def test_what_another_group_does_not_know_is_missing(self, store: FeatureStore) -> None:
        """Only the first group must have the key; what others lack is NaN."""
        leading, empty, elsewhere = candle_group("a"), candle_group("b"), candle_group("c")
        put(store, leading, candles(leading, 2))
        store.apply(empty)
        put(store, elsewhere, candles(elsewhere, 2, symbol="ETH-USD"))
        view = view_of(leading, empty, elsewhere, features=("b", "a", "c"))
        store.apply(view)

        for key in ({}, {"timestamp": START}):
            found = vector(store, view, symbol="BTC-USD", **key)
            assert bits(found.values[[0, 2]]) == ["nan", "nan"]
            assert not np.isnan(found.values[1])
            assert found.event_time == START + (1 if key else 2) * HOUR

    @needs(Capability.ONLINE)
    def test_entities_are_matched_by_name(self, store: FeatureStore) -> None:
        """A group with fewer entity columns, or with the same in another order, is joined by their names."""
        leading = candle_group("a", primary_key=("venue", "symbol", "timestamp"))
        swapped = event_group("b", primary_key=("symbol", "venue"))
        coin, market = static_group("c"), event_group("d", primary_key=("timestamp",))
        close = START + HOUR
        pairs = [("x", "y"), ("y", "x"), ("x", "x")]
        put(store, leading, rows(leading, *[(v, s, START, close, float(n)) for n, (v, s) in enumerate(pairs)]))
        put(store, swapped, rows(swapped, *[(s, v, START, 10.0 + n) for n, (v, s) in enumerate(pairs)]))
        put(store, coin, rows(coin, ("x", START, 20.0), ("y", START, 21.0)))
        put(store, market, rows(market, (START, START, 30.0)))
        view = view_of(leading, swapped, coin, market)
        store.apply(view)
        offline = store.get_historical_features(view, spine(leading, *[(v, s, close) for v, s in pairs]))

        for n, (venue, symbol) in enumerate(pairs):
            expected = [float(n), 10.0 + n, 20.0 if symbol == "x" else 21.0, 30.0]
            for key in ({}, {"timestamp": START}):
                assert vector(store, view, venue=venue, symbol=symbol, **key).values.tolist() == expected
            assert offline[list(view.features)].iloc[n].tolist() == expected

    @needs(Capability.ONLINE)
    def test_a_first_group_that_only_leads(self, store: FeatureStore) -> None:
        """The first group decides keys and times though the view takes no feature from it."""
        leading, other = candle_group("a"), candle_group("b", interval="1d")
        put(store, leading, candles(leading, 30))
        put(store, other, candles(other, 1))
        view = view_of(leading, other, features=("b",))
        store.apply(view)
        frame = candles(leading, 30)
        offline = store.get_historical_features(view, frame[["symbol", "event_time"]])["b"]
        online = store.get_online_features(view, frame[["symbol", "timestamp"]].to_dict("records"))

        assert bits([v.values[0] for v in online]) == bits(offline)
        assert offline.notna().sum() == 7
        assert [v.event_time for v in online] == [START + timedelta(hours=n + 1) for n in range(30)]
