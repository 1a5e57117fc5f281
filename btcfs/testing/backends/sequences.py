"""The laws together: long random sequences of calls, answered as the memory backend answers them."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import attrs
import numpy as np
import pandas as pd

from btcfs import frames, memory
from btcfs.definitions import Feature, FeatureGroup
from btcfs.store import Capability, FeatureStore
from btcfs.testing.backends.comparing import assert_same, bits
from btcfs.testing.backends.examples import HOUR, START, candle_group, event_group, put, rows, spine, view_of
from btcfs.testing.backends.kit import Kit, OpenStore, needs

COINS = ("BTC", "ETH", "é")
VALUES = (0.0, -1.0, np.nan, 1.0, 5e-324, 0.1)


def random_rows(draw: Any, group: FeatureGroup, count: int) -> pd.DataFrame:
    """Rows of a few entities and hours, so that keys are met again and values often stay."""
    keys = {(str(draw.choice(COINS)), int(draw.integers(0, 24))) for _ in range(count)}
    records = []
    for symbol, hour in keys:
        opens = START + hour * HOUR
        event = opens + HOUR if group.step else START + timedelta(hours=int(draw.integers(0, 24)))
        values = [float(draw.choice(VALUES)), int(draw.integers(0, 3)), draw.choice(["x", "y", None])]
        records.append((symbol, opens, event, *values))
    draw.shuffle(records)
    return rows(group, *records) if records else frames.empty(group)


class SequenceLaws(Kit):
    """A store beside the oracle."""

    @needs(Capability.SCAN)
    def test_random_writes_equal_the_oracle(self, store: FeatureStore) -> None:
        """After each of many random writes and streams, report, rows, range and summary are the oracle's."""
        for seed, make in enumerate((candle_group, event_group)):
            draw = np.random.default_rng(seed)
            group = make("a", Feature("n", "int64"), Feature("text", "string"))
            oracle = memory.connect()
            for each in (store, oracle):
                each.apply(group)
            for _ in range(8):
                frame = random_rows(draw, group, int(draw.integers(0, 30)))
                cut = int(draw.integers(0, len(frame) + 1))
                given = (
                    [frame]
                    if draw.random() < 0.5
                    else [iter([frame[:cut], frame[cut:]]), iter([frame[:cut], frame[cut:]])]
                )
                reports = [each.write(group, part) for each, part in zip((store, oracle), given * 2, strict=False)]
                mine, theirs = (attrs.evolve(report, commit_id=None, committed_at=None) for report in reports)
                assert mine == theirs
                start, end = sorted(START + int(hour) * HOUR for hour in draw.integers(0, 25, 2))
                entity = {"symbol": str(draw.choice(COINS))}
                assert_same(store.read(group), oracle.read(group))
                assert_same(store.read(group, start, end, entity=entity), oracle.read(group, start, end, entity=entity))
                assert store.summary(group, entity) == oracle.summary(group, entity)

    @needs(Capability.SCAN, Capability.ONLINE, Capability.TIME_TRAVEL)
    def test_random_questions_equal_the_oracle(self, store: FeatureStore, open_store: OpenStore) -> None:
        """After random writes, joins and reads at each commit, and vectors, are the oracle's; also after opening again."""
        draw = np.random.default_rng(7)
        features = ("a", Feature("n", "int64"), Feature("text", "string"))
        hourly = candle_group(*features)
        event = event_group(Feature("c"), Feature("m", "int64"), Feature("word", "string"))
        view = view_of(hourly, event, features=("c", "a", "m", "n"))
        oracle = memory.connect()
        for each in (store, oracle):
            for definition in (hourly, event, view):
                each.apply(definition)
        instants: list[tuple[datetime | None, datetime | None]] = [(None, None)]
        for n in range(10):
            group = (hourly, event)[n % 2]
            frame = random_rows(draw, group, 20)
            instants.append((store.write(group, frame).committed_at, oracle.write(group, frame).committed_at))
        asked = spine(
            hourly, *[(str(draw.choice([*COINS, "?"])), START + int(draw.integers(0, 30)) * HOUR) for _ in range(40)]
        )
        keys = oracle.read(hourly)[["symbol", "timestamp"]].to_dict("records") + [{"symbol": coin} for coin in COINS]

        with open_store() as later:
            for mine, theirs in instants[::3]:
                for group in (hourly, event):
                    assert_same(later.read(group, as_of=mine), oracle.read(group, as_of=theirs))
                joined = later.get_historical_features(view, asked, as_of=mine)
                assert_same(joined, oracle.get_historical_features(view, asked, as_of=theirs))
            pairs = zip(later.get_online_features(view, keys), oracle.get_online_features(view, keys), strict=True)
            for found, expected in pairs:
                assert bits(found.values) == bits(expected.values)
                assert (found.event_time, dict(found.key)) == (expected.event_time, dict(expected.key))

    @needs(Capability.SCAN)
    def test_a_larger_write_equals_the_oracle(self, store: FeatureStore) -> None:
        """Some thousand rows, half of them written again with changes, are the oracle's rows."""
        group = candle_group(*(f"f_{n}" for n in range(5)), interval="1m")
        draw = np.random.default_rng(11)
        opens = pd.Series(pd.date_range(START, periods=2500, freq="min").as_unit("us"))
        frame = pd.DataFrame(
            {"symbol": np.repeat(["BTC", "ETH"], 2500), "timestamp": pd.concat([opens, opens], ignore_index=True)}
        )
        frame = frame.assign(**{name: draw.normal(size=5000) for name in group.feature_names})
        again = frame.iloc[1250:3750].assign(f_3=lambda part: part["f_3"].where(draw.random(len(part)) < 0.5))
        oracle = memory.connect()
        for part in (frame.iloc[:2600], iter([frame.iloc[2600:4000], frame.iloc[4000:]]), again):
            whole = list(part) if not isinstance(part, pd.DataFrame) else part
            mine, theirs = put(store, group, whole), put(oracle, group, whole)
            assert (mine.inserted, mine.updated, mine.unchanged) == (theirs.inserted, theirs.updated, theirs.unchanged)

        assert_same(store.read(group), oracle.read(group))
        assert store.summary(group) == oracle.summary(group)
