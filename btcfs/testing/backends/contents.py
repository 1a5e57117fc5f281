"""The laws of contents: every value of every type comes back with the same bits."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np

from btcfs import frames
from btcfs.definitions import Feature
from btcfs.instants import UTC
from btcfs.store import Capability, FeatureStore
from btcfs.testing.backends.comparing import assert_same, bits, vector
from btcfs.testing.backends.examples import MICROSECOND, START, candle_group, candles, event_group, put, rows, view_of
from btcfs.testing.backends.kit import Kit, OpenStore, needs

FLOATS = (
    0.0, np.nan, 5e-324, -5e-324, 2.2250738585072014e-308, 1.7976931348623157e308, -1.7976931348623157e308,
    2.0**53, 2.0**53 + 2, -(2.0**53) + 1, 0.1, 1 / 3, np.nextafter(1.0, 2.0), np.nextafter(1.0, 0.0), 16_777_217.0,
    123456.78901234567, 1e-17, 1e22,
)  # fmt: skip
INTEGERS = (0, -1, 2**31, -(2**31) - 1, 2**53 - 1, 2**53, 2**53 + 1, -(2**53) - 1, 2**63 - 1, -(2**63))
TEXTS = (
    "", " ", "é", "e\u0301", "日本", "🚀", "a\x1fb", "it's \"q\"; --", "back\\slash", "two\nlines\t", "None", "NaN",
    "null", "0", "x" * 5000, None,
)  # fmt: skip
TIMES = (
    START, START + MICROSECOND, datetime(1970, 1, 1, tzinfo=UTC), datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
    datetime(1900, 2, 28, 1, 2, 3, 4, tzinfo=UTC), datetime(2262, 4, 12, tzinfo=UTC), datetime(2900, 1, 1, tzinfo=UTC), None,
)  # fmt: skip
ENTITIES = (
    "BTC-USD",
    "btc-usd",
    "é",
    "e\u0301",
    "日本",
    "🚀",
    "a b",
    "a\x1fb",
    "it's",
    'say "x"',
    "back\\slash",
    "%_",
    "",
    "a,b",
    "[1]",
)


class ContentLaws(Kit):
    """Values through the store and back."""

    @needs(Capability.SCAN)
    def test_floats_keep_their_bits(self, store: FeatureStore, open_store: OpenStore) -> None:
        """NaN, both zeros, denormals, extremes and neighbours of one come back bit for bit."""
        group = event_group("a")
        put(store, group, rows(group, *[("X", START + n * MICROSECOND, START, v) for n, v in enumerate(FLOATS)]))

        with open_store() as later:
            for each in (store, later):
                assert bits(each.read(group)["a"]) == bits(FLOATS)

    @needs(Capability.SCAN)
    def test_other_types_keep_their_values(self, store: FeatureStore) -> None:
        """Whole numbers to 64 bits, truth, any text, and microseconds on both sides of 1970 come back equal."""
        for dtype, values in (("int64", INTEGERS), ("bool", (True, False)), ("string", TEXTS), ("timestamp", TIMES)):
            group = event_group(Feature("v", dtype))
            frame = rows(group, *[("X", START + n * MICROSECOND, START, v) for n, v in enumerate(values)])
            put(store, group, frame)

            assert_same(store.read(group), frames.conform(group, frame))

    @needs()
    def test_history_gives_numbers_as_floats(self, store: FeatureStore) -> None:
        """In a training frame every feature is a float64 with the bits of the stored number."""
        group = event_group("a", Feature("n", "int64"), Feature("up", "bool"))
        values = [(v, INTEGERS[n % len(INTEGERS)], n % 3 == 0) for n, v in enumerate(FLOATS)]
        frame = rows(
            group, *[("X", START + n * MICROSECOND, START + n * MICROSECOND, *v) for n, v in enumerate(values)]
        )
        view = view_of(group, features=("up", "a", "n"))
        put(store, group, frame)
        store.apply(view)
        joined = store.get_historical_features(view, frame[["symbol", "event_time"]])

        assert [str(joined[name].dtype) for name in view.features] == ["float64"] * 3
        for place, name in enumerate(("a", "n", "up")):
            assert bits(joined[name]) == bits([float(value[place]) for value in values])

    @needs(Capability.ONLINE)
    def test_vectors_give_numbers_as_floats(self, store: FeatureStore) -> None:
        """The same holds for vectors."""
        group = event_group("a", Feature("n", "int64"), Feature("up", "bool"))
        values = [(v, INTEGERS[n % len(INTEGERS)], n % 3 == 0) for n, v in enumerate(FLOATS)]
        put(store, group, rows(group, *[("X", START + n * MICROSECOND, START, *v) for n, v in enumerate(values)]))
        view = view_of(group, features=("up", "a", "n"))
        store.apply(view)
        keys = [{"symbol": "X", "timestamp": START + n * MICROSECOND} for n in range(len(values))]

        for (a, n, up), found in zip(values, store.get_online_features(view, keys), strict=True):
            assert bits(found.values) == bits([float(up), a, float(n)])

    @needs(Capability.SCAN)
    def test_entities_are_any_text(self, store: FeatureStore) -> None:
        """Entity values that differ in one code point are different entities, read in code point order."""
        group = event_group("a")
        put(store, group, rows(group, *[(text, START, START, float(n)) for n, text in enumerate(ENTITIES)]))

        expected = sorted(zip(ENTITIES, map(float, range(len(ENTITIES))), strict=True))
        found = store.read(group)
        assert list(zip(found["symbol"], found["a"], strict=True)) == expected
        for text, number in expected:
            assert store.read(group, entity={"symbol": text})["a"].tolist() == [number]

    @needs(Capability.ONLINE)
    def test_entities_of_several_columns_stay_apart(self, store: FeatureStore) -> None:
        """However the parts of a key are put together inside, no two keys become one."""
        group = event_group("a", primary_key=("symbol", "venue"))
        parts = [
            ("a", "b"),
            ("b", "a"),
            ("ab", ""),
            ("", "ab"),
            ("a\x1fb", ""),
            ("a", "\x1fb"),
            ("a|b", "c"),
            ("a", "b|c"),
        ]
        parts += [
            ('a","b', "c"),
            ("a", 'b","c'),
            ("a\\", "b"),
            ("a", "\\b"),
            ("a/b", "c"),
            ("a", "b/c"),
            ("a:b", "c"),
            ("a", "b:c"),
        ]
        put(store, group, rows(group, *[(*pair, START, float(n)) for n, pair in enumerate(parts)]))
        view = view_of(group)
        store.apply(view)

        found = store.get_online_features(view, [{"symbol": one, "venue": two} for one, two in parts])
        assert [v.values[0] for v in found] == list(map(float, range(len(parts))))
        asked = rows(group, *[(*pair, START, 0.0) for pair in parts])[["symbol", "venue", "event_time"]]
        assert store.get_historical_features(view, asked)["a"].tolist() == list(map(float, range(len(parts))))

    @needs(Capability.SCAN, Capability.ONLINE)
    def test_candles_before_1970(self, store: FeatureStore) -> None:
        """Time has no sign: rows before the epoch are ordered, found and joined like others."""
        group = candle_group()
        start = datetime(1969, 12, 31, 22, tzinfo=UTC)
        frame = candles(group, 4, start=start)
        put(store, group, frame)
        view = view_of(group)
        store.apply(view)

        assert_same(store.read(group), frame)
        assert len(store.read(group, end=datetime(1970, 1, 1, tzinfo=UTC))) == 1
        assert vector(store, view, symbol="BTC-USD", timestamp=start).values[0] == frame["a"][0]
        instant = start + timedelta(hours=1) - MICROSECOND
        asked = frame[["symbol", "event_time"]].iloc[[0]].assign(event_time=[instant])
        assert bits(store.get_historical_features(view, asked)["a"]) == ["nan"]

    @needs(Capability.SCAN)
    def test_a_wide_group(self, store: FeatureStore) -> None:
        """Some hundred columns are as good as two, whatever word they are called by."""
        words = (
            "select",
            "from",
            "table",
            "order",
            "group",
            "value",
            "key",
            "index",
            "rowid",
            "end",
            "case",
            "user",
            "default",
            "seq",
        )
        group = candle_group(*words, *(f"feature_{n}" for n in range(150)))
        put(store, group, candles(group, 3))

        assert_same(store.read(group), candles(group, 3))
