"""The guide's predictor helper: the features of a candle, from the store or computed, with where they come from."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import pandas as pd

from btcfs import catalogue
from btcfs.bitcoin.legacy import renamed, with_times
from btcfs.config import Config, load
from btcfs.connection import connect
from btcfs.definitions import TIME_KEY
from btcfs.errors import SchemaError
from btcfs.frames import micros
from btcfs.indicators import CANDLE_COLUMNS
from btcfs.instants import from_micros
from btcfs.online.computed import Candle
from btcfs.online.features import Features, OnlineFeatures
from btcfs.pipeline.standard import candle_group, named
from btcfs.plugins import Plugins, installed_plugins
from btcfs.settings import truth
from btcfs.store import FeatureStore

FORCED_LOCAL = "use_feature_store is off"


class FeatureStorePredictor:
    """Features for one candle at a time.

    With ``use_feature_store``, the stored vector of the candle if there is one; else, and without
    it, the same features computed from the stored candles and the one given. Each result says which
    (``attrs["feature_source"]``, ``attrs["fallback_reason"]``), so threads and tasks do not mix it
    up. Where it is not given, the variable ``USE_FEATURE_STORE`` says it, and without that it is on; ConfigError
    if that is neither true nor false. The store is opened with the first request unless one is given.
    """

    def __init__(
        self,
        use_feature_store: bool | None = None,
        *,
        store: FeatureStore | None = None,
        backend: str | None = None,
        view: str | None = None,
        config: Config | None = None,
        plugins: Plugins | None = None,
    ) -> None:
        if use_feature_store is None:
            use_feature_store = truth("USE_FEATURE_STORE", os.environ.get("USE_FEATURE_STORE") or "true")
        self.use_feature_store = use_feature_store
        self._store = store
        self._backend = backend
        self._view = view
        self._config = config
        self._plugins = plugins
        self._features: OnlineFeatures | None = None

    def get_features_for_prediction(self, data: Mapping[str, Any]) -> pd.DataFrame:
        """One row, a named column per feature in the view's order.

        ``data`` has open, high, low, close, volume (upper case will do) and ``timestamp``, any
        instant inside the candle. SchemaError for anything else; InsufficientHistory if the stored
        candles do not reach up to it; NotFound if nothing is stored.
        """
        online = self._online()
        config = self._configured()
        symbol = str(data.get("symbol", config.symbol))
        candle = _candle(data, online)
        stored_first = self.use_feature_store
        found = online.of(symbol, candle) if stored_first else online.computed(symbol, candle, FORCED_LOCAL)
        return _frame(found, online)

    def close(self) -> None:
        """Close the store if it was opened here."""
        if self._features is not None and self._store is None:
            self._opened.close()
        self._features = None

    def _configured(self) -> Config:
        if self._config is None:
            self._config = load()
        return self._config

    def _online(self) -> OnlineFeatures:
        if self._features is None:
            config = self._configured()
            self._opened = self._store or connect(self._backend, config=config)
            name = self._view or named("bitcoin_inference_view", config.interval)
            view = catalogue.find_view(self._opened.definitions(), name)
            raw = candle_group(config.interval, config.stated("candles"))
            plugins = installed_plugins() if self._plugins is None else self._plugins
            self._features = OnlineFeatures(self._opened, view, raw, plugins)
        return self._features


def _candle(data: Mapping[str, Any], online: OnlineFeatures) -> Candle:
    frame = with_times(renamed(pd.DataFrame([dict(data)])))
    absent = [name for name in CANDLE_COLUMNS if name not in frame.columns]
    if absent:
        raise SchemaError(f"the candle lacks {', '.join(absent)}")
    open_time = online.open_time(int(micros(frame[TIME_KEY])[0]))
    values = {name: float(frame[name].iloc[0]) for name in CANDLE_COLUMNS}
    if not (0 < values["low"] <= min(values["open"], values["close"]) and values["volume"] >= 0):
        raise SchemaError(f"the candle {values} has a price that is not positive, or a low above open or close")
    if not (max(values["open"], values["close"]) <= values["high"] < float("inf") > values["volume"]):
        raise SchemaError(f"the candle {values} has a high below open or close, or a number that is not finite")
    return Candle(open_time, **values)


def _frame(found: Features, online: OnlineFeatures) -> pd.DataFrame:
    frame = pd.DataFrame([found.values], columns=list(online.view.features))
    frame.attrs.update(
        feature_source=found.source,
        fallback_reason=found.fallback_reason,
        timestamp=from_micros(found.timestamp),
        as_of=from_micros(found.event_time),
        symbol=found.symbol,
    )
    return frame
