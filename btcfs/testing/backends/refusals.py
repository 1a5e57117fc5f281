"""The laws of refusing: rows that do not fit are named, and the store stays as it was."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import attrs
import numpy as np
import pandas as pd
import pytest

from btcfs import frames
from btcfs.definitions import Feature, FeatureGroup
from btcfs.errors import DefinitionError, NotFound, SchemaError
from btcfs.instants import now
from btcfs.store import Capability, FeatureStore
from btcfs.testing.backends.comparing import assert_same
from btcfs.testing.backends.examples import HOUR, START, candle_group, candles, event_group, instants, put
from btcfs.testing.backends.kit import Kit, needs


def misfits(group: FeatureGroup) -> dict[str, pd.DataFrame]:
    """Rows for a group with the features a (float64), n (int64) and text, each wrong in one way."""
    good = pd.DataFrame(
        {
            "symbol": ["X", "Y"],
            "timestamp": instants([START, START]),
            "event_time": instants([START + HOUR, START + HOUR]),
            "a": [1.0, 2.0],
            "n": [1, 2],
            "text": ["one", None],
        }
    )

    def with_(**columns: Any) -> pd.DataFrame:
        return good.assign(**columns)

    return {
        "a missing column": good.drop(columns="a"),
        "a missing key": good.drop(columns="symbol"),
        "a missing time": good.drop(columns=["timestamp", "event_time"]),
        "an unknown column": with_(extra=1.0),
        "text for a number": with_(a=["1.0", "x"]),
        "a number for text": with_(text=[1, 2]),
        "a fraction for a whole number": with_(n=[1.5, 2.0]),
        "a whole number missing": with_(n=[1.0, np.nan]),
        "infinity": with_(a=[1.0, np.inf]),
        "minus infinity": with_(a=[-np.inf, 1.0]),
        "a naive time": with_(timestamp=good["timestamp"].dt.tz_localize(None)),
        "a naive event time": with_(event_time=good["event_time"].dt.tz_localize(None)),
        "an event time before the close": with_(event_time=good["event_time"] - pd.Timedelta(1, "us")),
        "a null key": with_(symbol=["X", None]),
        "a null time": with_(timestamp=instants([START, None])),
        "a repeated key": with_(symbol=["X", "X"]),
    }


class RefusalLaws(Kit):
    """What ``write`` refuses."""

    @needs(Capability.SCAN)
    def test_rows_that_do_not_fit_are_refused(self, store: FeatureStore) -> None:
        """Each misfit is a SchemaError, and the rows there, the good one of the same frame included, stay as they were."""
        group = candle_group("a", Feature("n", "int64"), Feature("text", "string"))
        wrong = misfits(group)
        first = wrong["an unknown column"].drop(columns="extra").assign(a=[0.5, 0.25])
        put(store, group, first.iloc[[1]])

        for name, frame in wrong.items():
            with pytest.raises(SchemaError):
                pytest.fail(f"{name} was accepted: {store.write(group, frame)}")
        assert_same(store.read(group), frames.conform(group, first.iloc[[1]]))

    @needs(Capability.SCAN)
    def test_a_forming_candle_is_refused(self, store: FeatureStore) -> None:
        """A row whose event time is still to come never enters, nor do the closed ones beside it."""
        group = candle_group()
        hour = now().replace(minute=0, second=0, microsecond=0)
        frame = candles(group, 3, start=hour - 2 * HOUR)
        store.apply(group)
        with pytest.raises(SchemaError):
            store.write(group, frame)

        assert len(store.read(group)) == 0
        put(store, group, frame.iloc[:2])
        assert_same(store.read(group), frame.iloc[:2])

    @needs(Capability.SCAN)
    def test_an_event_to_come_is_refused(self, store: FeatureStore) -> None:
        """The same holds for a group without an interval."""
        group = event_group()
        frame = candles(candle_group(), 1).assign(event_time=instants([now() + timedelta(minutes=5)]))
        store.apply(group)
        with pytest.raises(SchemaError):
            store.write(group, frame)

        assert len(store.read(group)) == 0

    @needs()
    def test_an_unknown_group_is_not_written(self, store: FeatureStore) -> None:
        """A write to a group or version that was never applied is NotFound and applies nothing."""
        group = candle_group()
        with pytest.raises(NotFound, match=group.name):
            store.write(group, candles(group, 1))
        store.apply(group)
        later = attrs.evolve(group, version=2)
        with pytest.raises(NotFound, match="version 2"):
            store.write(later, candles(later, 1))

        assert [d for d in store.definitions() if d.name == group.name] == [group]
        assert store.summary(group).rows == 0

    @needs()
    def test_another_definition_is_not_written(self, store: FeatureStore) -> None:
        """A write with a definition that differs from the stored one is refused; other descriptions do not matter."""
        group = candle_group()
        store.apply(group)
        other = candle_group("a", "b", "c", name=group.name)
        with pytest.raises(DefinitionError):
            store.write(other, candles(other, 1))

        assert store.summary(group).rows == 0
        assert store.write(attrs.evolve(group, description="other words"), candles(group, 1)).inserted == 1
