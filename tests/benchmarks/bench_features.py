"""The 47 features over a million one-minute bars, beside the bare TA-Lib calls and beside pandas-ta-classic.

The floor is each TA-Lib function that the features need, called once on the whole arrays, outputs
kept; it computes 34 columns and neither ratios nor guards nor the calendar. pandas-ta-classic runs
its own code (``talib=False``) for the 38 columns it has.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import talib

from btcfs.pipeline.candles import CandleArrays
from btcfs.pipeline.compute import compute, compute_new
from btcfs.pipeline.plan import plan
from btcfs.testing.synthetic import Market
from btcfs_ta.standard import standard_indicators

ROUNDS = 7


def floor(c: CandleArrays) -> list[Any]:
    """The TA-Lib calls behind the 47 features and nothing else."""
    h, low, x, v = c.high, c.low, c.close, c.volume
    return [
        *(talib.ROCP(x, n) for n in (1, 7, 30)),
        talib.LN(x),
        talib.MOM(x, 10),
        talib.ROC(x, 10),
        *(talib.SMA(x, n) for n in (10, 20, 50, 200)),
        *(talib.EMA(x, n) for n in (12, 26, 50)),
        *talib.MACD(x, 12, 26, 9),
        talib.ADX(h, low, x, 14),
        talib.PLUS_DI(h, low, x, 14),
        talib.MINUS_DI(h, low, x, 14),
        talib.RSI(x, 14),
        *talib.STOCH(h, low, x, 14, 3, 0, 3, 0),
        talib.WILLR(h, low, x, 14),
        talib.CCI(h, low, x, 20),
        talib.MFI(h, low, x, v, 14),
        *talib.BBANDS(x, 20, 2, 2, 0),
        talib.ATR(h, low, x, 14),
        talib.NATR(h, low, x, 14),
        talib.STDDEV(x, 20),
        talib.SMA(v, 20),
        talib.SUM(x, 20),
        talib.SUM(v, 20),
    ]


def pandas_ta(frame: pd.DataFrame) -> list[Any] | None:
    """What pandas-ta-classic has of the 47, by its own code; None if it is not installed."""
    try:
        import pandas_ta_classic as ta
    except ImportError:
        return None
    h, low, x, v = frame.high, frame.low, frame.close, frame.volume
    own: dict[str, Any] = {"talib": False}
    return [
        *(ta.percent_return(x, length=n) for n in (1, 7, 30)),
        ta.log_return(x, length=1),
        ta.mom(x, length=10, **own),
        ta.roc(x, length=10, **own),
        *(ta.sma(x, length=n, **own) for n in (10, 20, 50, 200)),
        *(ta.ema(x, length=n, **own) for n in (12, 26, 50)),
        ta.macd(x, **own),
        ta.adx(h, low, x, length=14, **own),
        ta.rsi(x, length=14, **own),
        ta.stoch(h, low, x, k=14, d=3, smooth_k=3, **own),
        ta.willr(h, low, x, length=14, **own),
        ta.cci(h, low, x, length=20, **own),
        ta.mfi(h, low, x, v, length=14, **own),
        ta.bbands(x, length=20, std=2, **own),
        ta.atr(h, low, x, length=14, **own),
        ta.natr(h, low, x, length=14, **own),
        ta.stdev(x, length=20, **own),
        ta.obv(x, v, **own),
        ta.sma(v, length=20, **own),
        ta.vwma(x, v, length=20),
    ]


def measured(function: Callable[[], Any]) -> float:
    """Seconds of one run, its result kept until the clock has stopped."""
    gc.collect()
    start = time.perf_counter()
    result = function()
    seconds = time.perf_counter() - start
    return seconds if result is not None else float("nan")


def paired(slow: list[float], fast: list[float]) -> float:
    """The median ratio of runs that followed each other, so that a busy machine weighs on both."""
    return statistics.median(a / b for a, b in zip(slow, fast, strict=False))


def main(scale: float = 1.0) -> list[tuple[str, float, str]]:
    rows = max(20_000, int(1_000_000 * scale))
    candles = Market(seed=7, sigma=0.0006, tick=0.01).candles(rows, "1m")
    names = ("open", "high", "low", "close", "volume")
    frame = pd.DataFrame({name: np.array(getattr(candles, name)) for name in names})
    features = plan(standard_indicators(), "1m")
    bare, ours, theirs = [], [], []
    for round_number in range(ROUNDS):
        bare.append(measured(lambda: floor(candles)))
        ours.append(measured(lambda: compute(features, candles)))
        if round_number < 3:
            theirs.append(measured(lambda: pandas_ta(frame)))
    results = [
        (
            f"47 features x {rows:,} bars / bare TA-Lib calls ({statistics.median(bare) * 1e3:.0f} ms)",
            paired(ours, bare),
            "<= 1.5",
        ),
        (
            f"pandas-ta-classic ({statistics.median(theirs):.2f} s) / 47 features ({statistics.median(ours) * 1e3:.0f} ms)",
            paired(theirs, ours),
            ">= 15 (nan: not installed)",
        ),
    ]
    few, many, new = candles.rows(rows - 20_000, rows - 1), candles.rows(0, rows - 1), candles.rows(rows - 1, rows)
    long_history, short_history = [], []
    for _ in range(3 * ROUNDS):
        short_history.append(measured(lambda: compute_new(features, few, new)))
        long_history.append(measured(lambda: compute_new(features, many, new)))
    label = f"one new candle after {rows:,} / after 20,000 ({statistics.median(short_history) * 1e3:.1f} ms)"
    results.append((label, paired(long_history, short_history), "<= 1.5"))
    return results


if __name__ == "__main__":
    for name, ratio, bar in main():
        print(f"{name:75s} {ratio:8.2f}   {bar}")
