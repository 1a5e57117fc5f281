"""A store that keeps a local mirror of another one, and answers from it while the other cannot be reached."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from btcfs.fallback.store import FallbackStore as FallbackStore

__all__ = ["FallbackStore"]


def __getattr__(name: str) -> Any:
    if name == "FallbackStore":
        from btcfs.fallback.store import FallbackStore

        return FallbackStore
    raise AttributeError(f"module 'btcfs.fallback' has no attribute {name!r}")
