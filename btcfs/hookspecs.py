"""The hooks a plugin may implement; all are optional, and none takes part in a hot path."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pluggy

from btcfs.indicators import Indicator, IndicatorFamily
from btcfs.models import ModelKind
from btcfs.sources import SourceKind

if TYPE_CHECKING:
    import pandas as pd

    from btcfs.definitions import FeatureGroup
    from btcfs.store import WriteReport

hookspec = pluggy.HookspecMarker("btcfs")
hookimpl = pluggy.HookimplMarker("btcfs")


@hookspec
def btcfs_indicators() -> Sequence[Indicator | IndicatorFamily]:
    """Indicators to compute; a family stands for itself with its default parameters."""


@hookspec
def btcfs_sources() -> Sequence[SourceKind]:
    """Candle sources, named as ``--source`` names them."""


@hookspec
def btcfs_models() -> Sequence[ModelKind]:
    """Models and baselines that training can use."""


@hookspec
def btcfs_validate(group: FeatureGroup, rows: pd.DataFrame) -> None:
    """Called with the rows of an ingest before they are written; raise SchemaError to refuse them."""


@hookspec
def btcfs_committed(group: FeatureGroup, report: WriteReport) -> None:
    """Called after a commit that changed something."""
