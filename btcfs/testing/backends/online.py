"""The laws of vectors: the row that was asked for, the newest if none is named, and never a blank one."""

from __future__ import annotations

from datetime import timedelta, timezone
from typing import Any

import attrs
import numpy as np
import pandas as pd
import pytest

from btcfs.errors import DefinitionError, NotFound, SchemaError
from btcfs.store import Capability, FeatureStore
from btcfs.testing.backends.comparing import bits, vector
from btcfs.testing.backends.examples import (
    HOUR,
    MICROSECOND,
    START,
    candle_group,
    candles,
    event_group,
    put,
    rows,
    static_group,
    view_of,
)
from btcfs.testing.backends.kit import Kit, OpenStore, needs


class OnlineLaws(Kit):
    """``get_online_features`` for views of one group."""

    @needs(Capability.ONLINE)
    def test_a_full_key_gives_its_row(self, store: FeatureStore, open_store: OpenStore) -> None:
        """The vector of each key is that row in the view's order, to this store and to one opened later."""
        group = candle_group("a", "b", "c")
        frame = pd.concat([candles(group, 4), candles(group, 4, symbol="ETH-USD", seed=1)], ignore_index=True)
        put(store, group, frame)
        view = view_of(group, features=("c", "a"))
        store.apply(view)
        keys = frame[["symbol", "timestamp"]].to_dict("records")

        with open_store() as later:
            for each in (store, later):
                for row, found in zip(frame.to_dict("records"), each.get_online_features(view, keys), strict=True):
                    assert bits(found.values) == bits([row["c"], row["a"]])

    @needs(Capability.ONLINE)
    def test_what_a_vector_says(self, store: FeatureStore) -> None:
        """A vector is a float64 array with its event time, its full key, the view's fingerprint and the store's name."""
        group = candle_group("a", "b")
        frame = candles(group, 3).assign(b=[1.0, np.nan, np.nan])
        put(store, group, frame)
        view = view_of(group, features=("b", "a"))
        store.apply(view)

        for key, index in ({"timestamp": START + HOUR}, 1), ({}, 2):
            found = vector(store, view, symbol="BTC-USD", **key)
            assert isinstance(found.values, np.ndarray)
            assert (found.values.dtype, found.values.shape) == (np.dtype("float64"), (2,))
            assert bits(found.values) == bits([np.nan, frame["a"][index]])
            assert found.event_time == START + (index + 1) * HOUR
            assert found.event_time.utcoffset() == timedelta(0)
            assert dict(found.key) == {"symbol": "BTC-USD", "timestamp": START + index * HOUR}
            assert found.fingerprint == view.fingerprint
            assert found.source == store.name

    @needs(Capability.ONLINE)
    def test_an_entity_gives_its_newest_row(self, store: FeatureStore) -> None:
        """Without the time, the row of the greatest event time answers, whenever it was written."""
        group = candle_group("a")
        frame = candles(group, 5)
        put(store, group, frame.iloc[[4]])
        store.write(group, frame.iloc[:2])
        store.write(group, candles(group, 3, symbol="ETH-USD", seed=1))
        view = view_of(group)
        store.apply(view)

        assert vector(store, view, symbol="BTC-USD").values[0] == frame["a"][4]
        moving = event_group("a")
        put(
            store, moving, rows(moving, ("X", START, START + 5 * HOUR, 1.0), ("X", START + HOUR, START + 2 * HOUR, 2.0))
        )
        moving_view = view_of(moving)
        store.apply(moving_view)
        assert vector(store, moving_view, symbol="X").values[0] == 1.0
        assert dict(vector(store, moving_view, symbol="X").key) == {"symbol": "X", "timestamp": START}
        store.write(moving, rows(moving, ("X", START, START + HOUR, 3.0)))
        assert vector(store, moving_view, symbol="X").values[0] == 2.0
        store.write(moving, rows(moving, ("X", START + 9 * HOUR, START + 2 * HOUR, 4.0)))
        assert vector(store, moving_view, symbol="X").values[0] == 4.0

    @needs(Capability.ONLINE)
    def test_answers_come_in_the_order_asked(self, store: FeatureStore) -> None:
        """One vector per key, in the order asked, for repeated keys and keys of both kinds too; none for none."""
        group = candle_group("a")
        frame = candles(group, 6)
        put(store, group, frame)
        view = view_of(group)
        store.apply(view)
        order = [3, 0, None, 3, 5, 1, None]
        keys = [
            {"symbol": "BTC-USD"} if n is None else {"timestamp": START + n * HOUR, "symbol": "BTC-USD"} for n in order
        ]

        found = [v.values[0] for v in store.get_online_features(view, keys)]
        assert found == [frame["a"][5 if n is None else n] for n in order]
        assert store.get_online_features(view, []) == []

    @needs(Capability.ONLINE)
    def test_an_unknown_key_is_not_found(self, store: FeatureStore) -> None:
        """A key without a row is NotFound and named, also among known ones; never a row of blanks."""
        group, bare = candle_group("a"), candle_group("a")
        put(store, group, candles(group, 3))
        view, bare_view = view_of(group), view_of(bare)
        for definition in (bare, view, bare_view):
            store.apply(definition)
        known = {"symbol": "BTC-USD", "timestamp": START}

        unknowns: list[dict[str, Any]] = [
            {"symbol": "DOGE-USD"},
            {"symbol": "DOGE-USD", "timestamp": START},
            {"symbol": "BTC-USD", "timestamp": START + 3 * HOUR},
            {"symbol": "BTC-USD", "timestamp": START + MICROSECOND},
            {"symbol": "BTC-USD", "timestamp": START - HOUR},
        ]
        for unknown in unknowns:
            with pytest.raises(NotFound, match=unknown["symbol"]):
                store.get_online_features(view, [known, unknown, known])
        with pytest.raises(NotFound, match="BTC-USD"):
            store.get_online_features(bare_view, [{"symbol": "BTC-USD"}])

    @needs(Capability.ONLINE)
    def test_a_key_must_fit(self, store: FeatureStore) -> None:
        """A key that lacks an entity column, has an unknown one, no text in it, or a naive time, is refused."""
        group = candle_group("a")
        put(store, group, candles(group, 3))
        view = view_of(group)
        store.apply(view)

        for key in (
            {"timestamp": START},
            {},
            {"symbol": "BTC-USD", "venue": "x"},
            {"symbol": "BTC-USD", "event_time": START},
            {"symbol": 7},
            {"symbol": None},
            {"symbol": "BTC-USD", "timestamp": START.replace(tzinfo=None)},
            {"symbol": "BTC-USD", "timestamp": "2024-01-01T00:00:00"},
            {"symbol": "BTC-USD", "timestamp": 5},
        ):
            with pytest.raises(SchemaError):
                store.get_online_features(view, [{"symbol": "BTC-USD"}, key])

    @needs(Capability.ONLINE)
    def test_a_time_may_be_written_in_many_ways(self, store: FeatureStore) -> None:
        """A datetime of any zone, a pandas timestamp and a text with an offset name the same instant."""
        group = candle_group("a")
        frame = candles(group, 3)
        put(store, group, frame)
        view = view_of(group)
        store.apply(view)
        instant = START + HOUR
        tokyo = instant.astimezone(timezone(timedelta(hours=9)))

        for time in (
            instant,
            tokyo,
            pd.Timestamp(instant),
            frame["timestamp"][1],
            tokyo.isoformat(),
            "2024-01-01T01:00:00Z",
        ):
            assert vector(store, view, symbol="BTC-USD", timestamp=time).values[0] == frame["a"][1]

    @needs(Capability.ONLINE)
    def test_default_entities(self, store: FeatureStore, open_store: OpenStore) -> None:
        """A store opened with defaults fills in the entity that a key leaves out, and only that."""
        group = candle_group("a")
        put(store, group, candles(group, 3))
        store.write(group, candles(group, 2, symbol="ETH-USD", seed=1))
        view = view_of(group)
        store.apply(view)

        with open_store(defaults={"symbol": "ETH-USD"}) as ether:
            expected = candles(group, 2, seed=1)["a"]
            assert vector(ether, view).values[0] == expected[1]
            assert vector(ether, view, timestamp=START).values[0] == expected[0]
            assert vector(ether, view, symbol="BTC-USD").values[0] == candles(group, 3)["a"][2]
            with pytest.raises(NotFound, match="ETH-USD"):
                vector(ether, view, timestamp=START + 2 * HOUR)

    @needs(Capability.ONLINE)
    def test_vectors_follow_each_write(self, store: FeatureStore, open_store: OpenStore) -> None:
        """When write returns, the next vector shows it, to a store opened earlier too."""
        group = candle_group("a")
        frame = candles(group, 3)
        put(store, group, frame)
        view = view_of(group)
        store.apply(view)

        with open_store() as other:
            for n in range(4):
                assert (
                    vector(other, view, symbol="BTC-USD").values[0] == vector(store, view, symbol="BTC-USD").values[0]
                )
                store.write(group, frame.assign(a=float(n)))
                for each in (store, other):
                    assert vector(each, view, symbol="BTC-USD").values[0] == float(n)
                    assert vector(each, view, symbol="BTC-USD", timestamp=START).values[0] == float(n)
            store.write(group, candles(group, 4))
            assert vector(other, view, symbol="BTC-USD").values[0] == candles(group, 4)["a"][3]

    @needs(Capability.ONLINE)
    def test_a_failed_write_is_not_served(self, store: FeatureStore) -> None:
        """Rows of a refused stream are in no vector."""
        group = candle_group("a")
        frame = candles(group, 4)
        put(store, group, frame.iloc[:2])
        view = view_of(group)
        store.apply(view)
        with pytest.raises(SchemaError):
            store.write(group, iter([frame.assign(a=0.0), frame.iloc[:1]]))

        assert vector(store, view, symbol="BTC-USD").values[0] == frame["a"][1]
        with pytest.raises(NotFound):
            vector(store, view, symbol="BTC-USD", timestamp=START + 3 * HOUR)

    @needs(Capability.ONLINE)
    def test_a_vector_is_the_askers(self, store: FeatureStore) -> None:
        """Changing a vector changes no later one."""
        group = candle_group("a")
        put(store, group, candles(group, 2))
        view = view_of(group)
        store.apply(view)
        for key in ({}, {"timestamp": START}):
            first = vector(store, view, symbol="BTC-USD", **key).values
            before = bits(first)
            if first.flags.writeable:
                first[:] = 0.0

            assert bits(vector(store, view, symbol="BTC-USD", **key).values) == before

    @needs(Capability.ONLINE)
    def test_groups_without_a_time_key(self, store: FeatureStore) -> None:
        """Where the key is the entity alone, it gives the entity's one row; a time in it is unknown."""
        group = static_group("a", primary_key=("symbol", "venue"))
        put(store, group, rows(group, ("X", "v", START, 1.0), ("X", "w", START, 2.0)))
        store.write(group, rows(group, ("X", "v", START - HOUR, 3.0)))
        view = view_of(group)
        store.apply(view)
        found = vector(store, view, venue="v", symbol="X")

        assert (found.values[0], found.event_time, dict(found.key)) == (
            3.0,
            START - HOUR,
            {"symbol": "X", "venue": "v"},
        )
        assert vector(store, view, venue="w", symbol="X").values[0] == 2.0
        with pytest.raises(SchemaError):
            vector(store, view, symbol="X", venue="v", timestamp=START)
        with pytest.raises(NotFound, match="u"):
            vector(store, view, symbol="X", venue="u")

    @needs(Capability.ONLINE)
    def test_what_is_not_applied_is_not_served(self, store: FeatureStore) -> None:
        """An unknown view or version is NotFound and named; a view unlike the stored one is refused."""
        group = candle_group("a", "b")
        put(store, group, candles(group, 2))
        view = view_of(group, features=("a",))
        with pytest.raises(NotFound, match=view.name):
            vector(store, view, symbol="BTC-USD")
        store.apply(view)
        assert vector(store, view, symbol="BTC-USD").values.shape == (1,)

        with pytest.raises(NotFound, match="version 2"):
            vector(store, attrs.evolve(view, version=2), symbol="BTC-USD")
        with pytest.raises(DefinitionError):
            vector(store, attrs.evolve(view, features=("b",)), symbol="BTC-USD")
