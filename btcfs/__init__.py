"""btcfs: a plugin-extensible feature store for Bitcoin machine learning."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOME = {
    "AuthError": "errors",
    "BtcfsError": "errors",
    "CheckFailed": "errors",
    "ConfigError": "errors",
    "DefinitionError": "errors",
    "InsufficientHistory": "errors",
    "NotFound": "errors",
    "SchemaError": "errors",
    "StoreBusy": "errors",
    "StoreUnavailable": "errors",
    "Unsupported": "errors",
    "Feature": "definitions",
    "FeatureGroup": "definitions",
    "FeatureView": "definitions",
    "Label": "definitions",
    "Capability": "store",
    "FeatureStore": "store",
    "FeatureVector": "store",
    "WriteReport": "store",
    "Indicator": "indicators",
    "Output": "indicators",
    "indicator": "indicators",
    "CandleRequest": "sources",
    "Source": "sources",
    "SourceKind": "sources",
    "ModelKind": "models",
    "hookimpl": "hookspecs",
    "connect": "connection",
    "BitcoinFeatureStore": "bitcoin",
    "FeatureStorePredictor": "bitcoin",
    "prepare_features_for_store": "bitcoin",
    "validate_features": "bitcoin",
    "train": "certified",
    "get_feature_window": "online.windows",
    "as_matrix": "online.matrix",
}

__all__ = ["__version__", *sorted(_HOME)]


def __getattr__(name: str) -> Any:
    """Import a public name's module when the name is first used, so that ``import btcfs`` stays light."""
    if name not in _HOME:
        raise AttributeError(f"module 'btcfs' has no attribute {name!r}")
    value = getattr(import_module(f"btcfs.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


if TYPE_CHECKING:
    from btcfs.bitcoin import BitcoinFeatureStore as BitcoinFeatureStore
    from btcfs.bitcoin import FeatureStorePredictor as FeatureStorePredictor
    from btcfs.bitcoin import prepare_features_for_store as prepare_features_for_store
    from btcfs.bitcoin import validate_features as validate_features
    from btcfs.certified import train as train
    from btcfs.connection import connect as connect
    from btcfs.definitions import Feature as Feature
    from btcfs.definitions import FeatureGroup as FeatureGroup
    from btcfs.definitions import FeatureView as FeatureView
    from btcfs.definitions import Label as Label
    from btcfs.errors import AuthError as AuthError
    from btcfs.errors import BtcfsError as BtcfsError
    from btcfs.errors import CheckFailed as CheckFailed
    from btcfs.errors import ConfigError as ConfigError
    from btcfs.errors import DefinitionError as DefinitionError
    from btcfs.errors import InsufficientHistory as InsufficientHistory
    from btcfs.errors import NotFound as NotFound
    from btcfs.errors import SchemaError as SchemaError
    from btcfs.errors import StoreBusy as StoreBusy
    from btcfs.errors import StoreUnavailable as StoreUnavailable
    from btcfs.errors import Unsupported as Unsupported
    from btcfs.hookspecs import hookimpl as hookimpl
    from btcfs.indicators import Indicator as Indicator
    from btcfs.indicators import Output as Output
    from btcfs.indicators import indicator as indicator
    from btcfs.models import ModelKind as ModelKind
    from btcfs.online.matrix import as_matrix as as_matrix
    from btcfs.online.windows import get_feature_window as get_feature_window
    from btcfs.sources import CandleRequest as CandleRequest
    from btcfs.sources import Source as Source
    from btcfs.sources import SourceKind as SourceKind
    from btcfs.store import Capability as Capability
    from btcfs.store import FeatureStore as FeatureStore
    from btcfs.store import FeatureVector as FeatureVector
    from btcfs.store import WriteReport as WriteReport
