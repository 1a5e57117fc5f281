"""The 47 features on real Bitstamp candles: equal to TA-Lib called directly, to plain loops, and to themselves in every mode."""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import talib

from btcfs.indicators import Indicator
from btcfs.instants import from_micros
from btcfs.pipeline.candles import CandleArrays
from btcfs.pipeline.compute import FeatureBlock, compute, compute_new, compute_stream
from btcfs.pipeline.plan import Plan, plan
from btcfs.plugins import installed_plugins
from btcfs.testing.synthetic import candle_frame

DATA = Path(os.environ.get("BTCFS_SHARED_DATA", Path(__file__).parents[3] / "shared" / "data"))
NAN = float("nan")

Column = Sequence[float]


def standard() -> list[Indicator]:
    return [i for i in installed_plugins().indicators() if i.function.__module__.startswith("btcfs_ta.")]


@pytest.fixture(scope="module", params=["1d", "1h"])
def interval(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def candles(interval: str) -> CandleArrays:
    path = DATA / f"bitstamp_btcusd_{interval}.csv.gz"
    if not path.exists():
        pytest.skip(f"no real candles: {path} is absent (set BTCFS_SHARED_DATA)")
    raw = pd.read_csv(path, skiprows=1).iloc[::-1].iloc[:-1]  # a URL line, newest first, the last row partial
    frame = raw[["open", "high", "low", "close"]].assign(
        timestamp=pd.to_datetime(raw["unix"], unit="s", utc=True),
        volume=raw[["Volume BTC", "Volume USD"]].min(axis=1),  # swapped in parts; bitcoins are the fewer
    )
    return CandleArrays.from_frame(frame, interval)


@pytest.fixture(scope="module")
def features(interval: str) -> Plan:
    return plan(standard(), interval)


@pytest.fixture(scope="module")
def block(features: Plan, candles: CandleArrays) -> FeatureBlock:
    return compute(features, candles)


def test_standard_set_has_47_features(features: Plan) -> None:
    """The standard set is 47 features, of which the deepest needs 199 earlier candles."""
    assert len(features.features) == 47
    assert features.lookback == 199


def test_equal_to_talib_called_directly(block: FeatureBlock, candles: CandleArrays) -> None:
    """Each feature that TA-Lib has equals its output over the whole history, to 1e-9."""
    expected = talib_features(candles)

    assert_close(block, expected)


def test_equal_to_plain_loops(features: Plan, candles: CandleArrays) -> None:
    """Every feature equals a loop that follows its definition, to 1e-9."""
    recent = candles.rows(max(0, len(candles) - 4000), len(candles))
    expected = {**loop_windows(recent), **loop_recursions(recent), **loop_candles(recent)}

    assert set(expected) == set(features.feature_names)
    assert_close(compute(features, recent), expected)


def test_stream_equals_history(features: Plan, candles: CandleArrays, block: FeatureBlock) -> None:
    """A stream in chunks of random sizes gives the same bits as one pass over the history."""
    ends = np.cumsum(np.random.default_rng(1).integers(1, 3000, 200))
    ends = [0, *ends[ends < len(candles)].tolist(), len(candles)]
    pieces = (candle_frame(candles.rows(a, b)) for a, b in itertools.pairwise(ends))

    streamed = [part.columns for part in compute_stream(features, pieces)]

    for column, parts in zip(block.columns, zip(*streamed, strict=True), strict=True):
        np.testing.assert_array_equal(np.concatenate(parts), column)


def test_new_candles_one_by_one_equal_history(features: Plan, candles: CandleArrays, block: FeatureBlock) -> None:
    """Appending candle by candle to a history cut to what is needed gives the same bits."""
    for row in range(len(candles) - 400, len(candles)):
        needed = features.first_needed(from_micros(candles.timestamp[row]))
        history = candles.rows(0, row).since(int(needed.timestamp() * 1_000_000))
        new = compute_new(features, history, candles.rows(row, row + 1))

        assert [column[0] for column in new.columns] == [column[row] for column in block.columns]


def test_a_correction_changes_rows_up_to_reach(features: Plan, candles: CandleArrays, block: FeatureBlock) -> None:
    """A corrected candle changes no row before it and none from its reach on."""
    row = len(candles) // 3
    close = candles.close.copy()
    close[row] *= 1.01
    corrected = CandleArrays(
        candles.timestamp, candles.open, candles.high, candles.low, close, candles.volume, step=candles.step
    )
    changed = np.zeros(len(candles), dtype=bool)
    for old, new in zip(block.columns, compute(features, corrected).columns, strict=True):
        changed |= (old != new) & ~(np.isnan(old) & np.isnan(new))

    rows = np.flatnonzero(changed)
    assert rows[0] == row
    assert from_micros(candles.timestamp[rows[-1]]) < features.reach(from_micros(candles.timestamp[row]))


def assert_close(block: FeatureBlock, expected: dict[str, Any]) -> None:
    actual = dict(zip(block.names, block.columns, strict=True))
    for name, values in expected.items():
        wanted = np.asarray(values, dtype=float)
        np.testing.assert_array_equal(np.isnan(actual[name]), np.isnan(wanted), err_msg=name)
        allowed = 1e-9 * np.maximum(np.abs(wanted), np.nanmedian(np.abs(wanted)))
        worst = np.nanmax(np.abs(actual[name] - wanted) - allowed)
        assert worst <= 0.0, f"{name} is off by {worst} more than allowed"


def talib_features(c: CandleArrays) -> dict[str, Any]:
    o, h, low, x, v = c.open, c.high, c.low, c.close, c.volume
    macd, signal, hist = talib.MACD(x, 12, 26, 9)
    slow_k, slow_d = talib.STOCH(h, low, x, 14, 3, 0, 3, 0)
    upper, middle, lower = talib.BBANDS(x, 20, 2, 2, 0)
    log_return = talib.LN(x[1:] / x[:-1])
    silent = talib.MAX(v, 20) == 0.0
    price = talib.TYPPRICE(h, low, x)
    return {
        **{f"return_{n}": talib.ROCP(x, n) for n in (1, 7, 30)},
        "log_return_1": np.append(NAN, log_return),
        "momentum_10": talib.MOM(x, 10),
        "roc_10": talib.ROC(x, 10),
        **{f"sma_{n}": talib.SMA(x, n) for n in (10, 20, 50, 200)},
        **{f"ema_{n}": talib.EMA(x, n) for n in (12, 26, 50)},
        "close_to_sma_20": x / talib.SMA(x, 20) - 1,
        "macd_12_26_9": macd,
        "macd_signal_12_26_9": signal,
        "macd_hist_12_26_9": hist,
        "adx_14": talib.ADX(h, low, x, 14),
        "plus_di_14": talib.PLUS_DI(h, low, x, 14),
        "minus_di_14": talib.MINUS_DI(h, low, x, 14),
        "rsi_14": talib.RSI(x, 14),
        "stoch_k_14": slow_k,
        "stoch_d_14": slow_d,
        "williams_r_14": talib.WILLR(h, low, x, 14),
        "cci_20": talib.CCI(h, low, x, 20),
        "mfi_14": talib.MFI(h, low, x, v, 14),
        "bb_upper_20": upper,
        "bb_lower_20": lower,
        "bb_width_20": (upper - lower) / middle,
        "bb_percent_b_20": (x - lower) / (upper - lower),
        "atr_14": talib.ATR(h, low, x, 14),
        "natr_14": talib.NATR(h, low, x, 14),
        "volatility_20": np.append(NAN, talib.STDDEV(log_return, 20) * math.sqrt(20 / 19)),
        "obv_20": np.append(NAN, talib.SUM(np.sign(np.diff(x)) * v[1:], 20)),
        "volume_sma_20": talib.SMA(v, 20),
        "volume_ratio_20": np.where(silent, 1.0, v / talib.SMA(v, 20)),
        "vwap_20": np.where(silent, x, talib.SUM(price * v, 20) / talib.SUM(v, 20)),
        "open": o,
    }


def rows(length: int, first: int, value: Callable[[int], float]) -> list[float]:
    return [NAN] * first + [value(row) for row in range(first, length)]


def mean(values: Column) -> float:
    return math.fsum(values) / len(values)


def spread(values: Column, less: int) -> float:
    centre = mean(values)
    return math.sqrt(math.fsum((value - centre) ** 2 for value in values) / (len(values) - less))


def loop_candles(c: CandleArrays) -> dict[str, Column]:
    x = c.close.tolist()
    times = [datetime.fromtimestamp(t / 1e6, tz=timezone.utc) for t in c.timestamp.tolist()]
    return {
        **{name: getattr(c, name).tolist() for name in ("open", "high", "low", "close", "volume")},
        **{f"return_{n}": rows(len(x), n, lambda i, n=n: x[i] / x[i - n] - 1) for n in (1, 7, 30)},
        "log_return_1": rows(len(x), 1, lambda i: math.log(x[i]) - math.log(x[i - 1])),
        "momentum_10": rows(len(x), 10, lambda i: x[i] - x[i - 10]),
        "roc_10": rows(len(x), 10, lambda i: 100 * (x[i] / x[i - 10] - 1)),
        "range_pct": [(a - b) / z for a, b, z in zip(c.high.tolist(), c.low.tolist(), x, strict=True)],
        "hour_of_day": [time.hour for time in times],
        "day_of_week": [time.weekday() for time in times],
        "month_of_year": [time.month for time in times],
        "is_weekend": [float(time.weekday() >= 5) for time in times],
    }


def loop_windows(c: CandleArrays) -> dict[str, Column]:
    h, low, x, v = (column.tolist() for column in (c.high, c.low, c.close, c.volume))
    n = len(x)
    price = [(a + b + z) / 3 for a, b, z in zip(h, low, x, strict=True)]
    cents = [round(value, 6) for value in price]  # ties as they are in decimals
    change = [NAN, *(math.log(b / a) for a, b in itertools.pairwise(x))]
    sign = [0, *((b > a) - (b < a) for a, b in itertools.pairwise(x))]

    def last(values: Column, i: int, period: int) -> Column:
        return values[i - period + 1 : i + 1]

    def place(i: int) -> float:
        top, bottom = max(last(h, i, 14)), min(last(low, i, 14))
        return 100 * (x[i] - bottom) / (top - bottom) if top > bottom else 0.0

    def commodity(i: int) -> float:
        centre = mean(last(price, i, 20))
        deviation = mean([abs(p - centre) for p in last(price, i, 20)])
        return (price[i] - centre) / (0.015 * deviation) if deviation > 1e-9 else 0.0

    def money(i: int) -> float:
        flows = [(cents[j] - cents[j - 1], price[j] * v[j]) for j in range(i - 13, i + 1)]
        up, down = (math.fsum(f for d, f in flows if d * s > 0) for s in (1, -1))
        return 100 * up / (up + down) if up + down >= 1 else 0.0

    def weighted(i: int) -> float:
        total = math.fsum(last(v, i, 20))
        return (
            math.fsum(p * w for p, w in zip(last(price, i, 20), last(v, i, 20), strict=True)) / total if total else x[i]
        )

    def relative(i: int) -> float:
        return v[i] / mean(last(v, i, 20)) if any(last(v, i, 20)) else 1.0

    fast = rows(n, 13, place)
    slow = rows(n, 15, lambda i: mean(last(fast, i, 3)))
    middle = rows(n, 19, lambda i: mean(last(x, i, 20)))
    sigma = rows(n, 19, lambda i: spread(last(x, i, 20), less=0))
    return {
        **{f"sma_{p}": rows(n, p - 1, lambda i, p=p: mean(last(x, i, p))) for p in (10, 20, 50, 200)},
        "close_to_sma_20": [a / b - 1 for a, b in zip(x, middle, strict=True)],
        "stoch_k_14": rows(n, 17, lambda i: slow[i]),
        "stoch_d_14": rows(n, 17, lambda i: mean(last(slow, i, 3))),
        "williams_r_14": rows(n, 13, lambda i: fast[i] - 100 if max(last(h, i, 14)) > min(last(low, i, 14)) else 0.0),
        "cci_20": rows(n, 19, commodity),
        "mfi_14": rows(n, 14, money),
        "bb_upper_20": [m + 2 * s for m, s in zip(middle, sigma, strict=True)],
        "bb_lower_20": [m - 2 * s for m, s in zip(middle, sigma, strict=True)],
        "bb_width_20": [4 * s / m for m, s in zip(middle, sigma, strict=True)],
        "bb_percent_b_20": rows(n, 19, lambda i: 0.5 + (x[i] - middle[i]) / (4 * sigma[i]) if sigma[i] else 0.5),
        "volatility_20": rows(n, 20, lambda i: spread(last(change, i, 20), less=1)),
        "obv_20": rows(
            n, 20, lambda i: math.fsum(s * w for s, w in zip(last(sign, i, 20), last(v, i, 20), strict=True))
        ),
        "volume_sma_20": rows(n, 19, lambda i: mean(last(v, i, 20))),
        "volume_ratio_20": rows(n, 19, relative),
        "vwap_20": rows(n, 19, weighted),
    }


def loop_recursions(c: CandleArrays) -> dict[str, Column]:
    h, low, x = (column.tolist() for column in (c.high, c.low, c.close))
    n = len(x)

    def exponential(values: Column, start: int, period: int) -> list[float]:
        out = [NAN] * (start + period - 1) + [mean(values[start : start + period])]
        for value in values[start + period :]:
            out.append(out[-1] + 2 / (period + 1) * (value - out[-1]))
        return out

    def wilder(values: Column, period: int = 14) -> list[float]:  # values from row 1 on
        out = [NAN] * period + [mean(values[1 : period + 1])]
        for value in values[period + 1 :]:
            out.append((out[-1] * (period - 1) + value) / period)
        return out

    def wilder_sum(values: Column, period: int = 14) -> list[float]:
        out = [NAN] * (period - 1) + [math.fsum(values[1:period])]
        for value in values[period:]:
            out.append(out[-1] - out[-1] / period + value)
        return out

    pairs = list(itertools.pairwise(x))
    gain = wilder([NAN, *(max(b - a, 0.0) for a, b in pairs)])
    loss = wilder([NAN, *(max(a - b, 0.0) for a, b in pairs)])
    ranges = [NAN, *(max(h[i], x[i - 1]) - min(low[i], x[i - 1]) for i in range(1, n))]
    up = [NAN, *(h[i] - h[i - 1] for i in range(1, n))]
    down = [NAN, *(low[i - 1] - low[i] for i in range(1, n))]
    true, plus, minus = (
        wilder_sum(values)
        for values in (
            ranges,
            [u if u > d and u > 0 else 0.0 for u, d in zip(up, down, strict=True)],
            [d if d > u and d > 0 else 0.0 for u, d in zip(up, down, strict=True)],
        )
    )
    plus_di = rows(n, 14, lambda i: 100 * plus[i] / true[i])
    minus_di = rows(n, 14, lambda i: 100 * minus[i] / true[i])
    dx = rows(n, 14, lambda i: 100 * abs(plus_di[i] - minus_di[i]) / (plus_di[i] + minus_di[i]))
    line = [a - b for a, b in zip(exponential(x, 14, 12), exponential(x, 0, 26), strict=True)]
    signal = exponential(line, 25, 9)
    average_range = wilder(ranges)
    return {
        **{f"ema_{p}": exponential(x, 0, p) for p in (12, 26, 50)},
        "macd_12_26_9": rows(n, 33, lambda i: line[i]),
        "macd_signal_12_26_9": signal,
        "macd_hist_12_26_9": [a - b for a, b in zip(line, signal, strict=True)],
        "rsi_14": rows(n, 14, lambda i: 100 * gain[i] / (gain[i] + loss[i])),
        "plus_di_14": plus_di,
        "minus_di_14": minus_di,
        "adx_14": [NAN] * 13 + wilder(dx[13:]),
        "atr_14": average_range,
        "natr_14": [100 * a / b for a, b in zip(average_range, x, strict=True)],
    }
