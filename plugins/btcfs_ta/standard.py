"""Which indicators, with which parameters, make up the 47 standard features."""

from __future__ import annotations

from btcfs.indicators import Indicator
from btcfs_ta import calendar, candle, momentum, returns, trend, volatility, volume
from btcfs_ta.engine import refuse_changed_settings


def standard_indicators() -> tuple[Indicator, ...]:
    """The standard set in the order of its features. ConfigError if TA-Lib's global settings were changed."""
    refuse_changed_settings()
    return (
        *(family() for family in (candle.open, candle.high, candle.low, candle.close, candle.volume)),
        *(returns.simple_return(period=period) for period in (1, 7, 30)),
        returns.log_return(period=1),
        returns.momentum(period=10),
        returns.rate_of_change(period=10),
        *(trend.sma(period=period) for period in (10, 20, 50, 200)),
        *(trend.ema(period=period) for period in (12, 26, 50)),
        trend.close_to_sma(period=20),
        trend.macd(fast=12, slow=26, signal=9),
        trend.adx(period=14),
        trend.plus_di(period=14),
        trend.minus_di(period=14),
        momentum.rsi(period=14),
        momentum.stochastic(period=14),
        momentum.williams_r(period=14),
        momentum.cci(period=20),
        momentum.mfi(period=14),
        volatility.bollinger(period=20),
        volatility.atr(period=14),
        volatility.natr(period=14),
        volatility.volatility(period=20),
        volatility.range_pct(),
        volume.obv(period=20),
        volume.volume_sma(period=20),
        volume.volume_ratio(period=20),
        volume.vwap(period=20),
        calendar.hour_of_day(),
        calendar.day_of_week(),
        calendar.month_of_year(),
        calendar.is_weekend(),
    )
