"""A small store with a market in it, for tests of training."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from btcfs import frames
from btcfs.definitions import Feature, FeatureGroup, FeatureView, Label
from training_sets import DAY, START

GROUP = FeatureGroup("market", 1, [Feature("close"), Feature("signal"), Feature("noise")], interval="1d")


def rows(prices: np.ndarray[Any, Any], X: np.ndarray[Any, Any], first: int = 0) -> pd.DataFrame:
    """Rows of ``GROUP`` from the candle of that number on."""
    opens = START + DAY * np.arange(first, first + len(prices))
    return pd.DataFrame(
        {
            "symbol": "BTC-USD",
            "timestamp": frames.from_micros_array(opens),
            "close": prices,
            "signal": X[:, 0],
            "noise": X[:, 1],
        }
    )


def view(label: Label | None = None) -> FeatureView:
    return FeatureView("plain_view", 1, [GROUP.ref], ("signal", "noise"), label or Label())


def filled(store: Any, prices: np.ndarray[Any, Any], X: np.ndarray[Any, Any], label: Label | None = None) -> Any:
    """The store with the group, its rows and the view."""
    store.apply(GROUP)
    store.write(GROUP, rows(prices, X))
    store.apply(view(label))
    return store
