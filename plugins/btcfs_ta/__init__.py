"""The 47 standard features: candles, returns, trend, momentum, volatility, volume and calendar."""

from __future__ import annotations

from typing import TYPE_CHECKING

from btcfs.hookspecs import hookimpl

if TYPE_CHECKING:
    from collections.abc import Sequence

    from btcfs.indicators import Indicator


@hookimpl
def btcfs_indicators() -> Sequence[Indicator]:
    """The indicators whose outputs are the 47 features, in their order."""
    # Here and not above: a command that computes nothing should not wait for TA-Lib.
    from btcfs_ta.standard import standard_indicators

    return standard_indicators()
