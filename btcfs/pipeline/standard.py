"""The standard groups and views that ingestion keeps: candles, their features, the training view and its twin."""

from __future__ import annotations

import attrs

from btcfs import catalogue
from btcfs.backends import nearest
from btcfs.definitions import Feature, FeatureGroup, FeatureView, Label
from btcfs.errors import DefinitionError
from btcfs.pipeline.tombstones import refuse_reuse
from btcfs.store import FeatureStore

DEFAULT_INTERVAL = "1d"


def candle_group(interval: str, name: str | None = None, version: int = 1) -> FeatureGroup:
    """The raw layer: validated candles as they were fetched, from which every feature is derived."""
    return FeatureGroup(
        name=name or named("bitcoin_candles", interval),
        version=version,
        interval=interval,
        features=[
            Feature("open", unit="USD", description="first price of the candle"),
            Feature("high", unit="USD", description="highest price of the candle"),
            Feature("low", unit="USD", description="lowest price of the candle"),
            Feature("close", unit="USD", description="last price of the candle"),
            Feature("volume", unit="BTC", description="traded amount in base currency"),
        ],
        description=f"Candles of {interval}, validated, as fetched; timestamp is the open time in UTC.",
    )


def named(stem: str, interval: str) -> str:
    """The name of a group or view of that interval: the plain stem for daily candles, else with the interval."""
    return stem if interval == DEFAULT_INTERVAL else f"{stem}_{interval}"


@attrs.frozen
class Views:
    """A training view and its inference twin: the same features in the same order, with and without the label."""

    training: FeatureView
    inference: FeatureView


def views(group: FeatureGroup, *, label: Label, version: int = 1) -> Views:
    """The standard views over all numeric features of a group."""
    features = tuple(feature.name for feature in group.features if feature.numeric)
    interval = group.interval or DEFAULT_INTERVAL
    common = f"all {len(features)} numeric features of {group.title}"
    training = FeatureView(
        name=named("bitcoin_training_view", interval),
        version=version,
        groups=[group.ref],
        features=features,
        label=label,
        description=f"For training: {common}, label {label.name}.",
    )
    inference = FeatureView(
        name=named("bitcoin_inference_view", interval),
        version=version,
        groups=[group.ref],
        features=features,
        description=f"For inference: {common}, no label.",
    )
    return Views(training, inference)


def check_label(group: FeatureGroup, label: Label) -> None:
    """DefinitionError unless the label's price is a feature of the group or of the candles it is computed from."""
    candles = candle_group(group.interval or DEFAULT_INTERVAL)
    if label.column not in (*group.feature_names, *candles.feature_names):
        raise DefinitionError(
            f"the label's price {label.column!r} is neither a feature of {group.title} nor one of {candles.title}; "
            f"it usually is 'close'{nearest(label.column, list(group.feature_names))}"
        )


def create_views(
    store: FeatureStore, group: FeatureGroup, label: Label, *, version: int = 1, dry_run: bool = False
) -> Views:
    """Apply the standard views over a stored group, or only check that it could be done.

    DefinitionError, with the differences, if other views of these names and version are stored, and for a
    label of a price that is nowhere.
    """
    check_label(group, label)
    made = views(group, label=label, version=version)
    stored = store.definitions()
    for view in (made.training, made.inference):
        catalogue.check_apply(stored, view)
        refuse_reuse(store, view, stored)
    if not dry_run:
        store.apply(made.training)
        store.apply(made.inference)
    return made
