"""The façade of the integration guide: the same classes and functions, over whichever backend is configured."""

from __future__ import annotations

from btcfs.bitcoin.checks import FeatureReport, validate_features
from btcfs.bitcoin.handles import CommitReport, GroupHandle, ViewHandle
from btcfs.bitcoin.monitoring import MonitoringReport
from btcfs.bitcoin.prediction import FeatureStorePredictor
from btcfs.bitcoin.preparation import compute_features_locally, prepare_features_for_store
from btcfs.bitcoin.store import BitcoinFeatureStore

__all__ = [
    "BitcoinFeatureStore",
    "CommitReport",
    "FeatureReport",
    "FeatureStorePredictor",
    "GroupHandle",
    "MonitoringReport",
    "ViewHandle",
    "compute_features_locally",
    "prepare_features_for_store",
    "validate_features",
]
