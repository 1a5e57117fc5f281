"""Frozen values that say what a feature, a feature group, a label and a feature view are."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from datetime import timedelta
from functools import cached_property
from typing import Any, Literal

import attrs

from btcfs.errors import DefinitionError

DTYPES = ("float64", "int64", "bool", "string", "timestamp")
NUMERIC_DTYPES = ("float64", "int64", "bool")
TIME_KEY = "timestamp"

_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
_INTERVAL = re.compile(r"([1-9][0-9]*)([smhdw])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def parse_interval(text: str) -> timedelta:
    """The length of one candle: ``"1m"``, ``"1h"``, ``"1d"``, ``"1w"``."""
    match = _INTERVAL.fullmatch(text)
    if match is None:
        raise DefinitionError(f"interval {text!r} is not a count and a unit of s, m, h, d or w, such as '1h' or '1d'")
    count, unit = match.groups()
    return timedelta(**{_UNITS[unit]: int(count)})


def _valid_name(_: object, attribute: attrs.Attribute[Any], name: str) -> None:
    if not isinstance(name, str) or _NAME.fullmatch(name) is None:
        raise DefinitionError(
            f"{attribute.name} {name!r} is not lower snake case of at most 63 characters, such as 'rsi_14'"
        )


def _valid_version(_: object, attribute: attrs.Attribute[Any], version: int) -> None:
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise DefinitionError(f"{attribute.name} {version!r} is not a whole number of at least 1")


def _fingerprint(content: object) -> str:
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _bounds(pair: Iterable[float] | None) -> tuple[float, float] | None:
    if pair is None:
        return None
    low, high = pair
    return float(low), float(high)


def _anchor(pair: Iterable[int] | None) -> tuple[int, int] | None:
    if pair is None:
        return None
    segment, warmup = pair
    return int(segment), int(warmup)


def _refs(refs: Iterable[tuple[str, int]]) -> tuple[tuple[str, int], ...]:
    return tuple((str(name), int(version)) for name, version in refs)


@attrs.frozen
class Feature:
    """One column: its name, type, unit and, if it has them, the bounds its values lie in.

    ``dtype`` is one of ``float64``, ``int64``, ``bool``, ``string``, ``timestamp``; a timestamp is
    UTC with microseconds. A float may be missing (NaN) and is never infinite; so may a string
    (None) and a timestamp (NaT); an int64 or a bool is never missing.
    """

    name: str = attrs.field(validator=_valid_name)
    dtype: str = attrs.field(default="float64")
    unit: str = "1"
    description: str = ""
    bounds: tuple[float, float] | None = attrs.field(default=None, converter=_bounds)

    @dtype.validator
    def _known_dtype(self, _: object, dtype: str) -> None:
        if dtype not in DTYPES:
            raise DefinitionError(f"feature {self.name!r} has dtype {dtype!r}; known are {', '.join(DTYPES)}")

    @property
    def numeric(self) -> bool:
        """Whether a feature view, whose vectors are float64 arrays, may contain it."""
        return self.dtype in NUMERIC_DTYPES

    def to_dict(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "dtype": self.dtype,
            "unit": self.unit,
            "description": self.description,
            "bounds": None if self.bounds is None else list(self.bounds),
        }


def _features(features: Iterable[Feature]) -> tuple[Feature, ...]:
    return tuple(features)


def _strings(names: Iterable[str]) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else tuple(names)


@attrs.frozen
class IndicatorRef:
    """Which indicator code and parameters a feature group was computed by."""

    name: str
    params: tuple[tuple[str, Any], ...] = ()
    hash: str = ""

    def to_dict(self) -> dict[str, Any]:
        return {"name": self.name, "params": [list(pair) for pair in self.params], "hash": self.hash}


def _indicator_refs(refs: Iterable[IndicatorRef]) -> tuple[IndicatorRef, ...]:
    return tuple(refs)


@attrs.frozen
class FeatureGroup:
    """A table of features: one row per primary key, known from its event time on.

    ``primary_key`` names the key columns; the one called ``timestamp`` is the candle's open time,
    the others (the entity) are strings. With an ``interval``, ``event_time = timestamp + interval``.
    ``indicators`` and ``anchor`` (segment length and warm-up, in candles) record by what code, and
    from which anchored segments, the rows are computed; both are part of the group's fingerprint.
    """

    name: str = attrs.field(validator=_valid_name)
    version: int = attrs.field(validator=_valid_version)
    features: tuple[Feature, ...] = attrs.field(converter=_features)
    primary_key: tuple[str, ...] = attrs.field(default=("symbol", TIME_KEY), converter=_strings)
    event_time: str = attrs.field(default="event_time", validator=_valid_name)
    interval: str | None = None
    indicators: tuple[IndicatorRef, ...] = attrs.field(default=(), converter=_indicator_refs)
    anchor: tuple[int, int] | None = attrs.field(default=None, converter=_anchor)
    description: str = ""

    def __attrs_post_init__(self) -> None:
        if not self.features:
            raise DefinitionError(f"feature group {self.name!r} has no features")
        if not self.primary_key:
            raise DefinitionError(f"feature group {self.name!r} has no primary key")
        for name in self.primary_key:
            _valid_name(self, attrs.fields(FeatureGroup).primary_key, name)
        columns = [*self.primary_key, self.event_time, *self.feature_names]
        repeated = sorted({name for name in columns if columns.count(name) > 1})
        if repeated:
            raise DefinitionError(f"feature group {self.name!r} has more than one column named {', '.join(repeated)}")
        if self.interval is not None:
            parse_interval(self.interval)
            if TIME_KEY not in self.primary_key:
                raise DefinitionError(
                    f"feature group {self.name!r} has an interval, so its primary key needs the column {TIME_KEY!r}"
                )

    @cached_property
    def feature_names(self) -> tuple[str, ...]:
        return tuple(feature.name for feature in self.features)

    @property
    def entity(self) -> tuple[str, ...]:
        """The key columns without the time: what has a newest row."""
        return tuple(name for name in self.primary_key if name != TIME_KEY)

    @property
    def has_time_key(self) -> bool:
        return TIME_KEY in self.primary_key

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """Every column of a frame of this group, in order: key, event time, features."""
        return (*self.primary_key, self.event_time, *self.feature_names)

    @cached_property
    def dtypes(self) -> dict[str, str]:
        """The dtype of each column, key and event time included."""
        keys = {name: "timestamp" if name == TIME_KEY else "string" for name in self.primary_key}
        return {**keys, self.event_time: "timestamp", **{f.name: f.dtype for f in self.features}}

    @property
    def step(self) -> timedelta | None:
        """The length of one candle, or None for a group without an interval."""
        return None if self.interval is None else parse_interval(self.interval)

    @property
    def ref(self) -> tuple[str, int]:
        return (self.name, self.version)

    @property
    def title(self) -> str:
        return f"{self.name} v{self.version}"

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of everything but the descriptions: two groups with one fingerprint are one definition."""
        content = self.to_dict()
        del content["description"]
        for feature in content["features"]:
            del feature["description"]
        return _fingerprint(content)

    def to_dict(self) -> dict[str, Any]:
        return {
            "kind": "group",
            "name": self.name,
            "version": self.version,
            "features": [feature.to_dict() for feature in self.features],
            "primary_key": list(self.primary_key),
            "event_time": self.event_time,
            "interval": self.interval,
            "indicators": [ref.to_dict() for ref in self.indicators],
            "anchor": None if self.anchor is None else list(self.anchor),
            "description": self.description,
        }


@attrs.frozen
class Label:
    """What a model predicts: the move of ``column`` over the next ``horizon`` candles.

    ``kind`` is ``direction`` (1.0 if the change exceeds ``threshold``, else 0.0) or ``change``
    (in percent). It is known at the event time of the candle ``horizon`` rows later, not before.
    """

    column: str = attrs.field(default="close", validator=_valid_name)
    horizon: int = 1
    kind: Literal["direction", "change"] = "direction"
    threshold: float = attrs.field(default=0.0, converter=float)

    def __attrs_post_init__(self) -> None:
        if not isinstance(self.horizon, int) or self.horizon < 1:
            raise DefinitionError(f"label horizon {self.horizon!r} is not a whole number of candles of at least 1")
        if self.kind not in ("direction", "change"):
            raise DefinitionError(f"label kind {self.kind!r} is not 'direction' or 'change'")

    @property
    def name(self) -> str:
        return f"label_{self.kind}_{self.horizon}"

    def to_dict(self) -> dict[str, Any]:
        return attrs.asdict(self)


@attrs.frozen
class FeatureView:
    """An ordered choice of features from one or more groups: a model's input, and its label.

    ``groups`` holds (name, version) pairs; each feature name must stand in exactly one of them.
    The first group is the one whose entity the view is looked up by.
    """

    name: str = attrs.field(validator=_valid_name)
    version: int = attrs.field(validator=_valid_version)
    groups: tuple[tuple[str, int], ...] = attrs.field(converter=_refs)
    features: tuple[str, ...] = attrs.field(converter=_strings)
    label: Label | None = None
    description: str = ""

    def __attrs_post_init__(self) -> None:
        if not self.groups:
            raise DefinitionError(f"feature view {self.name!r} names no feature group")
        if not self.features:
            raise DefinitionError(f"feature view {self.name!r} names no feature")
        repeated = sorted({name for name in self.features if self.features.count(name) > 1})
        if repeated:
            raise DefinitionError(f"feature view {self.name!r} names {', '.join(repeated)} more than once")

    @property
    def ref(self) -> tuple[str, int]:
        return (self.name, self.version)

    @property
    def title(self) -> str:
        return f"{self.name} v{self.version}"

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of everything but the description."""
        content = self.to_dict()
        del content["description"]
        return _fingerprint(content)

    def to_dict(self) -> dict[str, Any]:
        return {
            "kind": "view",
            "name": self.name,
            "version": self.version,
            "groups": [list(ref) for ref in self.groups],
            "features": list(self.features),
            "label": None if self.label is None else self.label.to_dict(),
            "description": self.description,
        }


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
