"""A btcfs plugin: one indicator, a check of the rows that hold it, and a line in the log for each commit."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from btcfs import hookimpl, indicator
from btcfs.errors import SchemaError

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from btcfs import FeatureGroup, WriteReport
    from btcfs.indicators import IndicatorFamily

    Floats = np.ndarray[Any, np.dtype[np.float64]]

_log = logging.getLogger(__name__)


@indicator(
    unit="%",
    bounds=(0.0, 200.0),
    lookback=lambda window: window - 1,
    source="R. D. Donchian, Commodities: High Finance in Copper, Financial Analysts Journal 16(6), 1960",
)
def donchian_width(high: Floats, low: Floats, *, window: int = 20) -> Floats:
    """Distance from the lowest low to the highest high of the window, in percent of the channel's middle."""
    import numpy as np

    width = np.full(len(high), np.nan)
    if len(high) >= window:
        top = np.lib.stride_tricks.sliding_window_view(high, window).max(axis=1)
        bottom = np.lib.stride_tricks.sliding_window_view(low, window).min(axis=1)
        width[window - 1 :] = 200.0 * (top - bottom) / (top + bottom)
    return width


@hookimpl
def btcfs_indicators() -> Sequence[IndicatorFamily]:
    """The indicator with its default window, as the feature ``donchian_width_20``."""
    return [donchian_width]


@hookimpl
def btcfs_validate(group: FeatureGroup, rows: pd.DataFrame) -> None:
    """Refuse rows in which the channel's top lies below its bottom."""
    for name in [name for name in group.feature_names if name.startswith("donchian_width_")]:
        crossed = int((rows[name] < 0.0).sum())
        if crossed:
            raise SchemaError(f"{name} is negative in {crossed} rows, so some high lies below a low")


@hookimpl
def btcfs_committed(group: FeatureGroup, report: WriteReport) -> None:
    """Log what each commit changed."""
    _log.info("%s: %d rows inserted, %d updated", group.title, report.inserted, report.updated)
