"""The model that answers: a bundle with the stored view it reads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import attrs
import numpy as np

from btcfs.definitions import FeatureView, Label
from btcfs.errors import DefinitionError, NotFound
from btcfs.online.cache import CAPACITY
from btcfs.online.features import OnlineFeatures
from btcfs.pipeline.standard import candle_group
from btcfs.plugins import Plugins
from btcfs.store import FeatureStore


class Predicts(Protocol):
    """A compiled model: a vector of float64 in, a number out."""

    def predict(self, values: np.ndarray[Any, Any]) -> float: ...


class ServableBundle(Protocol):
    """What serving reads of a bundle."""

    @property
    def version(self) -> str: ...
    @property
    def features(self) -> tuple[str, ...]: ...
    @property
    def view_fingerprint(self) -> str: ...
    @property
    def label(self) -> Label: ...
    @property
    def classification(self) -> Predicts: ...
    @property
    def regression(self) -> Predicts: ...


@attrs.frozen(eq=False)
class ActiveModel:
    """A bundle and the features it is fed; replaced as a whole, so a request sees one or the other."""

    bundle: ServableBundle
    view: FeatureView
    features: OnlineFeatures

    @property
    def interval(self) -> str:
        assert self.features.group.interval is not None
        return self.features.group.interval


def activated(
    store: FeatureStore,
    bundle: ServableBundle,
    plugins: Plugins,
    *,
    candles: str | None = None,
    capacity: int = CAPACITY,
) -> ActiveModel:
    """The bundle over the store's view. ``candles`` names the group that candles are in,
    ``capacity`` bounds the vectors kept.

    NotFound if the view it was trained on is gone; DefinitionError if its features are in another order.
    """
    view = view_of(store, bundle)
    leading = next(d for d in store.definitions() if d.ref == view.groups[0] and not isinstance(d, FeatureView))
    raw = candle_group(leading.interval or "1d", candles)
    return ActiveModel(bundle, view, OnlineFeatures(store, view, raw, plugins, capacity=capacity))


def view_of(store: FeatureStore, bundle: ServableBundle) -> FeatureView:
    """The stored view that the bundle was trained on. Errors as ``activated`` says."""
    views: Sequence[FeatureView] = [d for d in store.definitions() if isinstance(d, FeatureView)]
    found = next((view for view in views if view.fingerprint == bundle.view_fingerprint), None)
    if found is None:
        raise NotFound(
            f"model {bundle.version} reads the view {bundle.view_fingerprint[:12]}…, which is not stored; stored: "
            f"{', '.join(view.title for view in views) or 'none'}. btcfs ingest create-view makes the standard ones"
        )
    if tuple(bundle.features) != found.features:
        raise DefinitionError(
            f"model {bundle.version} has {_difference(tuple(bundle.features), found.features)}; it is not used, "
            f"train it anew on {found.title}"
        )
    return found


def _difference(has: tuple[str, ...], expected: tuple[str, ...]) -> str:
    for position, (one, other) in enumerate(zip(has, expected, strict=False)):
        if one != other:
            return f"feature {one!r} at position {position}, where the view has {other!r}"
    return f"{len(has)} features, the view {len(expected)}"
