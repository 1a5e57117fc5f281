"""The 47 standard features in plain pandas over a whole history: what a program without a store computes for each request."""

from __future__ import annotations

import numpy as np
import pandas as pd

TIMES = "timestamp"


def pandas_features(candles: pd.DataFrame) -> pd.DataFrame:
    """All 47 features of all rows, by ``rolling`` and ``ewm``, in one frame on the candles' index.

    ``candles`` has ``timestamp`` (open time, UTC), open, high, low, close and volume, gapless and in
    order. A value is missing until its window is full. Written from the definitions alone and beside
    the shipped indicators, for comparing with them and for timing.
    """
    high, low, close, volume = (candles[name] for name in ("high", "low", "close", "volume"))
    return pd.DataFrame(
        {
            **{name: candles[name] for name in ("open", "high", "low", "close", "volume")},
            **{f"return_{n}": close.pct_change(n) for n in (1, 7, 30)},
            "log_return_1": np.log(close / close.shift()),
            "momentum_10": close.diff(10),
            "roc_10": 100.0 * close.pct_change(10),
            **_averages(close),
            **_directional(high, low, close),
            "rsi_14": _strength(close),
            **_oscillators(high, low, close, volume),
            **_bands(close),
            **_ranges(high, low, close),
            "volatility_20": np.log(close / close.shift()).rolling(20).std(),
            "range_pct": (high - low) / close,
            **_volumes(high, low, close, volume),
            **_calendar(candles[TIMES]),
        }
    )


def _started(values: pd.Series, first: int, period: int) -> pd.Series:
    """The values from row ``first + period - 1`` on, the first of them the mean of the period that ends there."""
    begin = first + period - 1
    out = values.copy()
    out.iloc[:begin] = np.nan
    if begin < len(out):
        out.iloc[begin] = values.iloc[first : begin + 1].mean()
    return out


def _exponential(values: pd.Series, period: int, first: int = 0) -> pd.Series:
    return _started(values, first, period).ewm(span=period, adjust=False).mean()


def _wilder(values: pd.Series, period: int = 14, first: int = 1) -> pd.Series:
    return _started(values, first, period).ewm(alpha=1.0 / period, adjust=False).mean()


def _averages(close: pd.Series) -> dict[str, pd.Series]:
    line = _exponential(close, 12, first=14) - _exponential(close, 26)
    signal = _exponential(line, 9, first=25)
    return {
        **{f"sma_{n}": close.rolling(n).mean() for n in (10, 20, 50, 200)},
        **{f"ema_{n}": _exponential(close, n) for n in (12, 26, 50)},
        "close_to_sma_20": close / close.rolling(20).mean() - 1.0,
        "macd_12_26_9": line.where(signal.notna()),
        "macd_signal_12_26_9": signal,
        "macd_hist_12_26_9": line - signal,
    }


def _true_range(high: pd.Series, low: pd.Series, close: pd.Series) -> pd.Series:
    before = close.shift()
    ranges: pd.Series = np.maximum(high, before) - np.minimum(low, before)
    return ranges


def _directional(high: pd.Series, low: pd.Series, close: pd.Series, period: int = 14) -> dict[str, pd.Series]:
    up, down = high.diff(), -low.diff()
    parts = (
        _true_range(high, low, close),
        up.where((up > down) & (up > 0), 0.0),
        down.where((down > up) & (down > 0), 0.0),
    )
    # Wilder begins with a sum of one row less than the period, which as a mean is that sum over the period.
    true, plus, minus = (_wilder_sum(part, period) for part in parts)
    plus_di, minus_di = 100.0 * plus / true, 100.0 * minus / true
    index = 100.0 * (plus_di - minus_di).abs() / (plus_di + minus_di)
    return {"adx_14": _wilder(index, period, first=period), "plus_di_14": plus_di, "minus_di_14": minus_di}


def _wilder_sum(values: pd.Series, period: int) -> pd.Series:
    begun = values.copy()
    begun.iloc[: period - 1] = np.nan
    begun.iloc[period - 1] = values.iloc[1:period].sum() / period
    smoothed = begun.ewm(alpha=1.0 / period, adjust=False).mean()
    smoothed.iloc[period - 1] = np.nan
    return smoothed


def _strength(close: pd.Series) -> pd.Series:
    change = close.diff()
    gain, loss = _wilder(change.clip(lower=0.0)), _wilder(-change.clip(upper=0.0))
    return 100.0 * gain / (gain + loss)


def _oscillators(high: pd.Series, low: pd.Series, close: pd.Series, volume: pd.Series) -> dict[str, pd.Series]:
    top, bottom = high.rolling(14).max(), low.rolling(14).min()
    place = (100.0 * (close - bottom) / (top - bottom)).where(top > bottom, 0.0).where(top.notna())
    slow = place.rolling(3).mean()
    signal = slow.rolling(3).mean()
    price = (high + low + close) / 3.0
    deviation = price.rolling(20).apply(lambda window: np.abs(window - window.mean()).mean(), raw=True)
    move, flow = price.round(6).diff(), price * volume
    risen, fallen = (flow.where(sign * move > 0, 0.0).where(move.notna()).rolling(14).sum() for sign in (1, -1))
    return {
        "stoch_k_14": slow.where(signal.notna()),
        "stoch_d_14": signal,
        "williams_r_14": (-100.0 * (top - close) / (top - bottom)).where(top > bottom, 0.0).where(top.notna()),
        "cci_20": ((price - price.rolling(20).mean()) / (0.015 * deviation)).where(deviation != 0.0, 0.0),
        "mfi_14": (100.0 * risen / (risen + fallen)).where(~(risen + fallen < 1.0), 0.0),
    }


def _bands(close: pd.Series) -> dict[str, pd.Series]:
    middle, deviation = close.rolling(20).mean(), close.rolling(20).std(ddof=0)
    upper, lower = middle + 2.0 * deviation, middle - 2.0 * deviation
    return {
        "bb_upper_20": upper,
        "bb_lower_20": lower,
        "bb_width_20": (upper - lower) / middle,
        "bb_percent_b_20": ((close - lower) / (upper - lower)).where(deviation != 0.0, 0.5).where(middle.notna()),
    }


def _ranges(high: pd.Series, low: pd.Series, close: pd.Series) -> dict[str, pd.Series]:
    average = _wilder(_true_range(high, low, close))
    return {"atr_14": average, "natr_14": 100.0 * average / close}


def _volumes(high: pd.Series, low: pd.Series, close: pd.Series, volume: pd.Series) -> dict[str, pd.Series]:
    signed = np.sign(close.diff()) * volume
    mean, total = volume.rolling(20).mean(), volume.rolling(20).sum()
    silent = volume.rolling(20).max() == 0.0  # the sum keeps a residue of what left the window
    weighted = ((high + low + close) / 3.0 * volume).rolling(20).sum()
    return {
        "obv_20": signed.rolling(20).sum(),
        "volume_sma_20": mean.mask(silent, 0.0),
        "volume_ratio_20": (volume / mean).mask(silent, 1.0),
        "vwap_20": (weighted / total).mask(silent, close),
    }


def _calendar(times: pd.Series) -> dict[str, pd.Series]:
    return {
        "hour_of_day": times.dt.hour.astype("float64"),
        "day_of_week": times.dt.day_of_week.astype("float64"),
        "month_of_year": times.dt.month.astype("float64"),
        "is_weekend": (times.dt.day_of_week >= 5).astype("float64"),
    }
