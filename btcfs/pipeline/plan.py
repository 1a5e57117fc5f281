"""Which indicators a set of features needs, in which order, and from which candles each row is computed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

import attrs

from btcfs.definitions import Feature, FeatureGroup, IndicatorRef, parse_interval
from btcfs.errors import DefinitionError
from btcfs.indicators import INPUTS, Indicator, Memory
from btcfs.instants import from_micros, to_micros

LEAST_WARMUP = 1024
_SEGMENTS = (
    (timedelta(minutes=1), 20_160),  # two weeks of minutes
    (timedelta(minutes=30), 2_016),  # a week of five minutes
    (timedelta(hours=12), 2_160),  # 90 days of hours
)
_LONGEST_SEGMENT = 256  # days and weeks: a correction should not reach over decades


@attrs.frozen(eq=False)
class Node:
    """One indicator's turn: which columns it reads, and which columns it fills.

    Columns are numbered: 0 to 5 are the candle's (``btcfs.indicators.INPUTS``), the outputs of the
    nodes follow. The first ``skip`` rows of the inputs are not yet defined and are not passed on.
    """

    indicator: Indicator
    reads: tuple[int, ...]
    fills: tuple[int, ...]
    skip: int


@attrs.frozen(eq=False)
class Plan:
    """How to compute a set of features for candles of one interval.

    Time is cut into segments of ``segment`` candles, counted from 1970; a row is computed from the
    ``warmup`` candles before its segment up to itself, whatever else is known. So its bits follow
    from its timestamp and the candles alone, not from how much history was loaded.

    ``columns`` are the features' column numbers, as :class:`Node` counts them. ``lookback`` counts
    the rows before the first one with every feature defined, ``settle`` the rows until the start of
    history no longer shows.
    """

    interval: str
    nodes: tuple[Node, ...]
    features: tuple[Feature, ...]
    columns: tuple[int, ...]
    indicators: tuple[Indicator, ...]
    lookback: int
    settle: int
    segment: int
    warmup: int

    @property
    def feature_names(self) -> tuple[str, ...]:
        return tuple(feature.name for feature in self.features)

    @property
    def anchor(self) -> tuple[int, int]:
        """Segment and warm-up in candles, as a feature group records them."""
        return (self.segment, self.warmup)

    @property
    def step(self) -> int:
        """The length of one candle in microseconds."""
        return step_micros(self.interval)

    def group(self, name: str, version: int, description: str = "") -> FeatureGroup:
        """The feature group of these features, keyed by symbol and timestamp."""
        refs: tuple[IndicatorRef, ...] = tuple(indicator.ref for indicator in self.indicators)
        return FeatureGroup(
            name=name,
            version=version,
            features=self.features,
            interval=self.interval,
            indicators=refs,
            anchor=self.anchor,
            description=description,
        )

    def first_needed(self, timestamp: datetime) -> datetime:
        """The open time of the first candle that can influence the row of that open time."""
        return from_micros(self.first_needed_micros(to_micros(timestamp)))

    def reach(self, timestamp: datetime) -> datetime:
        """Where the rows end that a change of that candle can alter: they have ``timestamp <= open time < reach``."""
        length = self.segment * self.step
        last_start = (to_micros(timestamp) + self.warmup * self.step) // length * length
        return from_micros(last_start + length)

    def first_needed_micros(self, timestamp: int) -> int:
        """As ``first_needed``, in microseconds since the epoch."""
        length = self.segment * self.step
        return timestamp // length * length - self.warmup * self.step


def plan(indicators: Sequence[Indicator], interval: str, features: Sequence[str] | None = None) -> Plan:
    """The plan for all outputs of the indicators, or for the named ones in that order.

    Equal computations are done once, however many indicators require them. DefinitionError if a
    name is unknown or given twice, if two indicators give one feature, or if one of them remembers
    for ever and so cannot be computed from a part of history.
    """
    owners = _owners(indicators)
    names = tuple(owners if features is None else features)
    _refuse_names(names, owners)
    used = _distinct(owners[name] for name in names)
    nodes, places = arrange(used)
    for node in nodes:
        _refuse_endless(node.indicator)
    settle = max(i.lookback + i.unstable for i in used)
    return Plan(
        interval=interval,
        nodes=nodes,
        features=tuple(next(f for f in owners[name].outputs if f.name == name) for name in names),
        columns=tuple(places[owners[name].identity][_position(owners[name], name)] for name in names),
        indicators=used,
        lookback=max(i.lookback for i in used),
        settle=settle,
        segment=segment_length(interval),
        warmup=max(LEAST_WARMUP, 1 << (settle - 1).bit_length()),
    )


def arrange(indicators: Iterable[Indicator]) -> tuple[tuple[Node, ...], dict[tuple[object, ...], tuple[int, ...]]]:
    """The nodes in an order in which each follows what it requires, and the columns each identity fills."""
    nodes: list[Node] = []
    places: dict[tuple[object, ...], tuple[int, ...]] = {}
    for indicator in indicators:
        _place(indicator, nodes, places)
    return tuple(nodes), places


def segment_length(interval: str) -> int:
    """Candles in a segment: two weeks of minutes, 90 days of hours, 256 days; so many for intervals alike.

    Longer segments cost less, as each is computed with its warm-up; shorter ones keep a correction
    and a daily run from touching more rows.
    """
    step = parse_interval(interval)
    return next((count for longest, count in _SEGMENTS if step <= longest), _LONGEST_SEGMENT)


def step_micros(interval: str) -> int:
    """The length of one candle in microseconds."""
    return parse_interval(interval) // timedelta(microseconds=1)


def _place(indicator: Indicator, nodes: list[Node], places: dict[tuple[object, ...], tuple[int, ...]]) -> None:
    if indicator.identity in places:
        return
    for ref in indicator.requires.values():
        _place(ref.indicator, nodes, places)
    required = indicator.requires
    reads = tuple(
        places[required[name].indicator.identity][required[name].output] if name in required else INPUTS.index(name)
        for name in indicator.inputs
    )
    first = len(INPUTS) + sum(len(node.fills) for node in nodes)
    fills = tuple(range(first, first + len(indicator.outputs)))
    nodes.append(Node(indicator, reads, fills, skip=indicator.lookback - indicator.own_lookback))
    places[indicator.identity] = fills


def _owners(indicators: Sequence[Indicator]) -> dict[str, Indicator]:
    owners: dict[str, Indicator] = {}
    for indicator in indicators:
        for feature in indicator.outputs:
            if feature.name in owners:
                raise DefinitionError(
                    f"feature {feature.name!r} comes from indicator {owners[feature.name].name!r} and from "
                    f"indicator {indicator.name!r}; leave one of them out"
                )
            owners[feature.name] = indicator
    return owners


def _refuse_names(names: tuple[str, ...], owners: dict[str, Indicator]) -> None:
    if not names:
        raise DefinitionError("no feature to compute; name at least one, or install a plugin that has some")
    unknown = [name for name in names if name not in owners]
    if unknown:
        raise DefinitionError(f"no indicator gives {', '.join(unknown)}; known are {', '.join(owners)}")
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise DefinitionError(f"{', '.join(repeated)} is asked for more than once")


def _refuse_endless(indicator: Indicator) -> None:
    if indicator.memory is Memory.INFINITE:
        raise DefinitionError(
            f"indicator {indicator.name!r} declares infinite memory: its value depends on where history began, so it "
            f"cannot be computed from new candles alone. Use a windowed form (as obv_20 is of OBV), or declare it fading "
            f"with an unstable period if it forgets"
        )


def _distinct(indicators: Iterable[Indicator]) -> tuple[Indicator, ...]:
    return tuple({indicator.identity: indicator for indicator in indicators}.values())


def _position(indicator: Indicator, name: str) -> int:
    return [feature.name for feature in indicator.outputs].index(name)
