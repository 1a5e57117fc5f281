"""Frozen values that say what a feature, a feature group, a label and a feature view are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from btcfs.definitions.columns import DTYPES, NUMERIC_DTYPES, Feature, IndicatorRef
from btcfs.definitions.groups import TIME_KEY, FeatureGroup, parse_interval
from btcfs.definitions.views import FeatureView, Label
from btcfs.errors import DefinitionError

__all__ = [
    "DTYPES",
    "NUMERIC_DTYPES",
    "TIME_KEY",
    "Definition",
    "Feature",
    "FeatureGroup",
    "FeatureView",
    "IndicatorRef",
    "Label",
    "definition_from_dict",
    "parse_interval",
]

Definition = FeatureGroup | FeatureView


def definition_from_dict(content: Mapping[str, Any]) -> Definition:
    """The definition that ``to_dict`` wrote."""
    body = dict(content)
    kind = body.pop("kind")
    if kind == "group":
        body["features"] = [Feature(**feature) for feature in body["features"]]
        body["indicators"] = [
            IndicatorRef(ref["name"], tuple((key, value) for key, value in ref["params"]), ref["hash"])
            for ref in body["indicators"]
        ]
        return FeatureGroup(**body)
    if kind == "view":
        body["label"] = None if body["label"] is None else Label(**body["label"])
        return FeatureView(**body)
    raise DefinitionError(f"a definition of kind {kind!r} is neither a group nor a view")
