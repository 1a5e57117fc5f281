"""Test classes that say what works means: subclass one, give it one fixture, run pytest."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

_HOME = {
    "BackendTests": "backends",
    "EngineTests": "engines",
    "IndicatorTests": "indicators",
    "ModelTests": "models",
    "SourceTests": "sources",
}

__all__ = ["BackendTests", "EngineTests", "IndicatorTests", "ModelTests", "SourceTests"]


def __getattr__(name: str) -> Any:
    """Import a kit when it is first used: each needs pytest, and not every kit's other needs."""
    if name not in _HOME:
        raise AttributeError(f"module 'btcfs.testing' has no attribute {name!r}")
    module = f"btcfs.testing.{_HOME[name]}"
    _explain_assertions(module)
    value = getattr(import_module(module), name)
    globals()[name] = value
    return value


def _explain_assertions(module: str) -> None:
    """Have pytest show the values in a kit's failed assertion, as it does in test files by itself."""
    import pytest

    if module not in sys.modules:
        pytest.register_assert_rewrite(module)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


if TYPE_CHECKING:
    from btcfs.testing.backends import BackendTests as BackendTests
    from btcfs.testing.engines import EngineTests as EngineTests
    from btcfs.testing.indicators import IndicatorTests as IndicatorTests
    from btcfs.testing.models import ModelTests as ModelTests
    from btcfs.testing.sources import SourceTests as SourceTests
