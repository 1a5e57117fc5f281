"""Candles that break no rule, candles that break a given one, and what the validator finds in them."""

from __future__ import annotations

from datetime import datetime, timezone

import numpy as np
import pandas as pd

from btcfs.pipeline.validate import check

UTC = timezone.utc


START = datetime(2024, 3, 1, tzinfo=UTC)


LATER = datetime(2025, 1, 1, tzinfo=UTC)


def candles(count: int = 50, quote: bool = True, step: str = "1h") -> pd.DataFrame:
    """Plausible candles, every one different, volumes in their own columns."""
    close = 50_000.0 + 100.0 * np.sin(np.arange(count) / 3.0) + np.arange(count)
    opened = np.r_[50_000.0, close[:-1]]
    volume = 10.0 + np.arange(count) % 7
    frame = pd.DataFrame(
        {
            "timestamp": pd.date_range(START, periods=count, freq=step, unit="us"),
            "open": opened,
            "high": np.maximum(opened, close) + 5.0,
            "low": np.minimum(opened, close) - 5.0,
            "close": close,
            "volume": volume,
        }
    )
    return frame.assign(quote_volume=volume * close) if quote else frame


def changed(row: int, **values: float) -> pd.DataFrame:
    frame = candles()
    for name, value in values.items():
        frame.loc[row, name] = value
    return frame


def found(frame: pd.DataFrame, interval: str = "1h", now: datetime = LATER) -> dict[str, tuple[str, int]]:
    """Severity and count of each rule broken."""
    return {f.rule: (f.severity, f.count) for f in check(frame, interval, now).findings}
