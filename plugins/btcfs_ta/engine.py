"""Which TA-Lib computes, and whether its process-wide settings are as they came."""

from __future__ import annotations

from typing import Any

import talib

from btcfs.errors import ConfigError

SIMPLE: Any = 0  # talib.MA_Type.SMA, which its type stubs leave out
_RECURSIVE = ("EMA", "RSI", "ATR", "ADX", "PLUS_DI", "MINUS_DI")


def talib_version(code: str = "1") -> str:
    """The version of an indicator that TA-Lib computes: ours and TA-Lib's, for its numbers change with its minor version."""
    major, minor = talib.__version__.split(".")[:2]
    return f"{code}+talib{major}.{minor}"


def refuse_changed_settings() -> None:
    """ConfigError if something in this process changed a global setting of TA-Lib, which changes every number."""
    settings: Any = talib  # its type stubs leave these functions out
    changed = [name for name in _RECURSIVE if settings.get_unstable_period(name)]
    if settings.get_compatibility() or changed:
        what = f"the unstable period of {', '.join(changed)}" if changed else "the compatibility mode"
        raise ConfigError(
            f"{what} of TA-Lib was changed in this process, which would change stored features; remove the call of "
            f"talib.{'set_unstable_period' if changed else 'set_compatibility'}"
        )
