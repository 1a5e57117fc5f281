"""Models for training: linear models, forests and boosted trees of scikit-learn, and honest baselines."""

from __future__ import annotations

from collections.abc import Sequence

from btcfs.hookspecs import hookimpl
from btcfs.models import ModelKind
from btcfs_models.kinds import kinds


@hookimpl
def btcfs_models() -> Sequence[ModelKind]:
    """Every model of this plugin; none imports scikit-learn before it is built."""
    return kinds()
