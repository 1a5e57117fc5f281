"""The plan: what is computed once, in which order, and which candles a row depends on."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import numpy as np
import pytest

from btcfs.errors import DefinitionError
from btcfs.indicators import Indicator, IndicatorFamily, Output, indicator
from btcfs.pipeline.plan import arrange, plan, segment_length


@indicator(lookback=lambda period: period)
def change(close: np.ndarray, *, period: int = 1) -> np.ndarray:
    """Change over a period."""
    out = np.full(len(close), np.nan)
    out[period:] = close[period:] / close[:-period] - 1.0
    return out


@indicator(requires=lambda period: {"moves": change(period=1)}, lookback=lambda period: period - 1, unstable=2000)
def spread(moves: np.ndarray, *, period: int = 5) -> np.ndarray:
    """Spread of the changes."""
    return moves


@indicator(requires=lambda: {"a": spread(), "b": change(period=3)})
def both(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """A node above two others."""
    return a + b


@indicator(outputs=(Output("upper"), Output("lower")))
def pair(high: np.ndarray, low: np.ndarray) -> tuple[np.ndarray, ...]:
    """Two outputs."""
    return high.copy(), low.copy()


@indicator(memory="infinite")
def total(volume: np.ndarray) -> np.ndarray:
    """Running total."""
    return np.cumsum(volume)


def test_equal_computations_are_done_once() -> None:
    """However many indicators require the same computation, it is one node."""
    nodes, _ = arrange([change(), spread(), both(), change(period=1)])

    assert [node.indicator.name for node in nodes] == ["change", "spread", "change", "both"]


def test_functions_of_one_name_are_not_confused() -> None:
    """Two indicators that agree in name and numbers but not in code are two nodes."""

    def other() -> IndicatorFamily:
        @indicator(lookback=lambda period: period)
        def change(close: np.ndarray, *, period: int = 1) -> np.ndarray:
            """Another change."""
            return close

        return change

    nodes, _ = arrange([change(), other()()])

    assert len(nodes) == 2


def test_required_come_first_and_cut_their_warm_up() -> None:
    """A node reads columns that earlier nodes filled, from the row where all of them are defined."""
    nodes, places = arrange([both()])
    filled: set[int] = set(range(6))
    for node in nodes:
        assert set(node.reads) <= filled
        filled |= set(node.fills)

    assert nodes[-1].skip == both().lookback == 5
    assert places[both().identity] == nodes[-1].fills


def test_features_in_the_order_asked() -> None:
    """Named features come in the order asked, and only what they need is computed."""
    chosen = plan([change(), pair(), both()], "1h", ["lower", "change_1"])

    assert chosen.feature_names == ("lower", "change_1")
    assert {node.indicator.name for node in chosen.nodes} == {"pair", "change"}
    assert chosen.lookback == 1


def test_depths_add_up_along_requirements() -> None:
    """Lookback and settling time are those of the deepest chain, and the warm-up covers them."""
    deep = plan([both()], "1h")

    assert (deep.lookback, deep.settle) == (5, 2005)
    assert deep.anchor == (2160, 2048)
    assert plan([change()], "1h").warmup == 1024


@pytest.mark.parametrize(
    ("interval", "candles"),
    [("1m", 20_160), ("5m", 2_016), ("15m", 2_016), ("1h", 2_160), ("4h", 2_160), ("1d", 256), ("1w", 256)],
)
def test_segment_length(interval: str, candles: int) -> None:
    """The segment length follows from the interval alone, for it is part of what a stored value means."""
    assert segment_length(interval) == candles


def test_first_needed_and_reach() -> None:
    """A row needs candles from one warm-up before its segment on; a candle reaches the last segment it warms up."""
    daily = plan([change()], "1d")
    day = timedelta(days=1)
    start = datetime(1970, 1, 1, tzinfo=timezone.utc) + 80 * 256 * day

    assert daily.first_needed(start) == start - 1024 * day
    assert daily.first_needed(start + 255 * day) == start - 1024 * day
    assert daily.reach(start) == start + (1024 + 256) * day
    assert daily.reach(start - day) == start + 1024 * day
    assert daily.reach(start + 255 * day) == start + (1024 + 256) * day


def test_reach_is_the_inverse_of_first_needed() -> None:
    """A candle influences a row exactly if the row needs it."""
    hourly = plan([change()], "1h")
    hour = timedelta(hours=1)
    candle = datetime(2021, 3, 4, 5, tzinfo=timezone.utc)
    last = hourly.reach(candle) - hour

    assert hourly.first_needed(last) <= candle
    assert hourly.first_needed(last + hour) > candle


def test_group_records_code_and_anchor() -> None:
    """The group's fingerprint changes with the indicators' code and with the anchor."""
    group = plan([change()], "1d").group("moves", 1)

    assert group.anchor == (256, 1024)
    assert group.indicators == (change().ref,)
    assert group.interval == "1d"
    assert group.fingerprint != plan([renamed("2")], "1d").group("moves", 1).fingerprint


def renamed(version: str) -> Indicator:
    return indicator(lookback=lambda period: period, version=version)(change.function)()


@pytest.mark.parametrize(
    ("indicators", "features", "message"),
    [
        ([change()], ["chang_1"], "no indicator gives chang_1; known are change_1"),
        ([change()], ["change_1", "change_1"], "more than once"),
        ([change(), change()], None, "feature 'change_1' comes from indicator 'change' and from"),
        ([], None, "no feature to compute"),
        ([total()], None, "declares infinite memory"),
    ],
)
def test_impossible_plans_are_refused(indicators: list[Indicator], features: list[str] | None, message: str) -> None:
    """A plan that cannot be computed is refused with what to do."""
    with pytest.raises(DefinitionError, match=message):
        plan(indicators, "1h", features)


def test_unused_infinite_indicator_is_allowed() -> None:
    """An indicator that remembers for ever hinders only those who ask for it."""
    assert plan([change(), total()], "1h", ["change_1"]).feature_names == ("change_1",)
