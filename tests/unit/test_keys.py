"""What an online key says, and what it may not say."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import pandas as pd
import pytest

from btcfs.definitions import Feature, FeatureGroup
from btcfs.errors import SchemaError
from btcfs.instants import UTC
from btcfs.keys import no_such_key, resolve_key, show_key

GROUP = FeatureGroup("candles", 1, [Feature("x")], primary_key=("venue", "timestamp", "symbol"))
START = datetime(2024, 1, 1, tzinfo=UTC)
MICROS = 1_704_067_200_000_000


@pytest.mark.parametrize(
    "time", [START, pd.Timestamp(START), "2024-01-01", "2024-01-01T00:00:00Z", "2024-01-01T02:00+02:00"]
)
def test_a_full_key(time: Any) -> None:
    """The entity comes in the order of the primary key, the time in microseconds, however it is written."""
    assert resolve_key(GROUP, {"symbol": "s", "timestamp": time, "venue": "v"}) == (("v", "s"), MICROS)


def test_the_newest_is_meant_without_a_time() -> None:
    """A key that lacks the time, or has None there, has no instant."""
    assert resolve_key(GROUP, {"symbol": "s", "venue": "v"}) == (("v", "s"), None)
    assert resolve_key(GROUP, {"symbol": "s", "venue": "v", "timestamp": None}) == (("v", "s"), None)


def test_defaults_fill_in_what_is_left_out() -> None:
    """A default counts only where the key says nothing."""
    defaults = {"symbol": "d", "venue": "d", "elsewhere": "d"}

    assert resolve_key(GROUP, {"venue": "v"}, defaults) == (("v", "d"), None)
    assert resolve_key(GROUP, {}, defaults) == (("d", "d"), None)


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ({"symbol": "s"}, "venue"),
        ({"symbol": "s", "venue": None}, "venue"),
        ({"symbol": 7, "venue": "v"}, "symbol"),
        ({"symbol": "s", "venue": "v", "market": "m"}, "unknown market"),
        ({"symbol": "s", "venue": "v", "timestamp": datetime(2024, 1, 1)}, "zone"),
        ({"symbol": "s", "venue": "v", "timestamp": "2024-01-01T00:00"}, "zone"),
        ({"symbol": "s", "venue": "v", "timestamp": "yesterday"}, "yesterday"),
        ({"symbol": "s", "venue": "v", "timestamp": MICROS}, "not a time"),
        ({"symbol": "s", "venue": "v", "timestamp": pd.NaT}, "zone|time"),
    ],
)
def test_keys_that_do_not_fit(key: dict[str, Any], words: str) -> None:
    """An unknown, missing or mistyped part is refused by name."""
    with pytest.raises(SchemaError, match=words):
        resolve_key(GROUP, key)


def test_a_key_is_shown_in_words() -> None:
    """Messages and vectors show the columns and the time as a datetime."""
    assert show_key(GROUP, ("v", "s"), MICROS) == {"venue": "v", "symbol": "s", "timestamp": START}
    assert show_key(GROUP, ("v", "s"), None) == {"venue": "v", "symbol": "s"}
    message = str(no_such_key(GROUP, ("v", "s"), MICROS))
    assert "candles v1" in message
    assert "venue=v, symbol=s, timestamp=2024-01-01 00:00:00+00:00" in message
    assert START.tzinfo == timezone.utc
