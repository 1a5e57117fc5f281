"""How faulty indicators are collected, each with the law that it breaks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from btcfs.indicators import Indicator, IndicatorFamily

Array = np.ndarray[Any, np.dtype[np.float64]]
Faults = dict[str, tuple[str, Indicator]]


def planting(faults: Faults) -> Callable[[str], Callable[[IndicatorFamily], IndicatorFamily]]:
    """A decorator that names the law broken, and keeps the indicator among the faults."""

    def planted(law: str) -> Callable[[IndicatorFamily], IndicatorFamily]:
        def keep(family: IndicatorFamily) -> IndicatorFamily:
            faults[family.name] = (law, family())
            return family

        return keep

    return planted


def rolling(values: Array, period: int = 20) -> Any:
    return pd.Series(values).rolling(period)
