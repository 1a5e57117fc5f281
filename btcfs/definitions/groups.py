"""A table of features, and how far apart its rows lie."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import timedelta
from functools import cached_property
from typing import Any

import attrs

from btcfs.definitions.columns import Feature, IndicatorRef
from btcfs.definitions.fields import fingerprint_of, to_strings, valid_name, valid_version
from btcfs.errors import DefinitionError

TIME_KEY = "timestamp"

_INTERVAL = re.compile(r"([1-9][0-9]*)([smhdw])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def parse_interval(text: str) -> timedelta:
    """The length of one candle: ``"1m"``, ``"1h"``, ``"1d"``, ``"1w"``."""
    match = _INTERVAL.fullmatch(text)
    if match is None:
        raise DefinitionError(f"interval {text!r} is not a count and a unit of s, m, h, d or w, such as '1h' or '1d'")
    count, unit = match.groups()
    return timedelta(**{_UNITS[unit]: int(count)})


def _anchor(pair: Iterable[int] | None) -> tuple[int, int] | None:
    if pair is None:
        return None
    segment, warmup = pair
    return int(segment), int(warmup)


def _features(features: Iterable[Feature]) -> tuple[Feature, ...]:
    return tuple(features)


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

    name: str = attrs.field(validator=valid_name)
    version: int = attrs.field(validator=valid_version)
    features: tuple[Feature, ...] = attrs.field(converter=_features)
    primary_key: tuple[str, ...] = attrs.field(default=("symbol", TIME_KEY), converter=to_strings)
    event_time: str = attrs.field(default="event_time", validator=valid_name)
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
            valid_name(self, attrs.fields(FeatureGroup).primary_key, name)
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
        return fingerprint_of(content)

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
