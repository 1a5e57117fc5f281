"""The predictor: a Starlette app over whichever store is configured and the active model bundle."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

_HOME = {"create_app": "app", "composed_lifespan": "app", "PREDICTIONS": "prediction_rows", "replay": "reproduction"}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    """Import a public name's module when it is first used: replay works without the extra ``serve``."""
    if name not in _HOME:
        raise AttributeError(f"module 'btcfs.serving' has no attribute {name!r}")
    return getattr(import_module(f"btcfs.serving.{_HOME[name]}"), name)


if TYPE_CHECKING:
    from btcfs.serving.app import composed_lifespan as composed_lifespan
    from btcfs.serving.app import create_app as create_app
    from btcfs.serving.prediction_rows import PREDICTIONS as PREDICTIONS
    from btcfs.serving.reproduction import replay as replay
