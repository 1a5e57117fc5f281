"""The ingest of the market and the groups that the settings name."""

from __future__ import annotations

from typing import Any

from btcfs.config import Config
from btcfs.pipeline.ingest import Ingest
from btcfs.plugins import Plugins
from btcfs.store import FeatureStore


def configured_ingest(store: FeatureStore, config: Config, plugins: Plugins, **options: Any) -> Ingest:
    """An ``Ingest`` into the store; ``options`` are those of its fields that are no settings, such as ``source``."""
    return Ingest(
        store,
        symbol=config.symbol,
        interval=config.interval,
        group=config.stated("group"),
        version=config.version,
        candles=config.stated("candles"),
        features=config.features or None,
        plugins=plugins,
        **options,
    )
