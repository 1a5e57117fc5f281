"""What separates two stores: definitions, keys, and for each feature the first row where they part."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import attrs
import numpy as np
import pandas as pd

from btcfs.catalogue import ordered
from btcfs.definitions import Definition, FeatureGroup
from btcfs.differences import differences
from btcfs.instants import to_micros
from btcfs.store import FeatureStore
from btcfs.transfer.comparing import EXACT, Tolerance, align, equal_values, key_of, plain, ulps
from btcfs.transfer.pieces import ROWS, Piece, pieces
from btcfs.transfer.selection import Selection, selected

Range = tuple[datetime | None, datetime | None]


@attrs.frozen
class Divergence:
    """One feature that differs: in how many rows, by how much at most, and the first of them by time.

    ``difference`` and ``ulps`` belong to that first row, ``largest`` is over all; None where there is no number.
    """

    feature: str
    rows: int
    key: dict[str, Any]
    a: Any
    b: Any
    difference: float | None
    ulps: float | None
    largest: float | None

    def to_dict(self) -> dict[str, Any]:
        return attrs.asdict(self)


@attrs.define
class GroupDifference:
    """What separates one group in two stores. ``definition`` has a line for each difference of its definitions.

    ``compared`` rows have their key on both sides; the others are missing in a or in b, ``first_missing``
    being the first such key by time.
    """

    name: str
    version: int
    definition: tuple[str, ...] = ()
    rows_a: int = 0
    rows_b: int = 0
    compared: int = 0
    missing_in_a: int = 0
    missing_in_b: int = 0
    first_missing_in_a: dict[str, Any] | None = None
    first_missing_in_b: dict[str, Any] | None = None
    features: dict[str, Divergence] = attrs.field(factory=dict)

    @property
    def equal(self) -> bool:
        return not (self.definition or self.missing_in_a or self.missing_in_b or self.features)

    def to_dict(self) -> dict[str, Any]:
        body = {name: getattr(self, name) for name in attrs.fields_dict(type(self)) if name != "features"}
        return {**body, "equal": self.equal, "features": [found.to_dict() for found in self.features.values()]}


@attrs.frozen
class StoreDifference:
    """What separates two stores; ``only_a`` and ``only_b`` are definitions that the other has not."""

    a: str
    b: str
    only_a: tuple[str, ...]
    only_b: tuple[str, ...]
    views: tuple[str, ...]
    groups: tuple[GroupDifference, ...]

    @property
    def equal(self) -> bool:
        return not (self.only_a or self.only_b or self.views) and all(group.equal for group in self.groups)

    def to_dict(self) -> dict[str, Any]:
        return {
            "a": self.a,
            "b": self.b,
            "equal": self.equal,
            "only_a": list(self.only_a),
            "only_b": list(self.only_b),
            "views": list(self.views),
            "groups": [group.to_dict() for group in self.groups],
        }


def _ignore(rows: int) -> None:
    pass


def diff_stores(
    a: FeatureStore,
    b: FeatureStore,
    groups: Sequence[str] = (),
    *,
    between: Range = (None, None),
    as_of: datetime | None = None,
    tolerance: Tolerance = EXACT,
    size: int = ROWS,
    progress: Callable[[int], None] = _ignore,
) -> StoreDifference:
    """Compare two stores, or some groups of them, in pieces of ``size`` rows.

    ``between`` is a half-open range of event time and ``as_of`` a knowledge instant for both. Rows are matched by
    key among those of one piece of event time: a key whose event time differs, which only a group without an
    interval can have, may be reported as missing on both sides.
    """
    one, other = _chosen(a, b, groups)
    matched = [(left, right) for left in one.groups for right in other.groups if left.ref == right.ref]
    found = [_group(a, b, left, right, between, as_of, tolerance, size, progress) for left, right in matched]
    views = [
        f"{left.title}: {line}" for left in one.views for right in other.views if left.ref == right.ref
        for line in differences(left, right)
    ]  # fmt: skip
    return StoreDifference(
        a.name, b.name, _only(one.definitions, other.definitions), _only(other.definitions, one.definitions),
        tuple(views), tuple(found),
    )  # fmt: skip


def _chosen(a: FeatureStore, b: FeatureStore, names: Sequence[str]) -> tuple[Selection, Selection]:
    """What is compared in each store. NotFound for a name that neither has."""
    one, other = a.definitions(), b.definitions()
    if not names:
        return selected(one), selected(other)
    selected(ordered([*one, *other]), names)
    sides = []
    for side in (one, other):
        stored = {(d.name, d.version) for d in side if isinstance(d, FeatureGroup)}
        here = [n for n in names if any(n in (name, f"{name}:{version}") for name, version in stored)]
        sides.append(selected(side, here) if here else Selection((), ()))
    return sides[0], sides[1]


def _only(one: Sequence[Definition], other: Sequence[Definition]) -> tuple[str, ...]:
    there = {(type(d), d.ref) for d in other}
    return tuple(
        f"{'group' if isinstance(d, FeatureGroup) else 'view'} {d.title}" for d in one if (type(d), d.ref) not in there
    )


def _group(
    a: FeatureStore, b: FeatureStore, left: FeatureGroup, right: FeatureGroup, between: Range,
    as_of: datetime | None, tolerance: Tolerance, size: int, progress: Callable[[int], None],
) -> GroupDifference:  # fmt: skip
    found = GroupDifference(*left.ref, definition=tuple(differences(left, right)))
    if left.primary_key != right.primary_key or left.event_time != right.event_time:
        return found
    shared = [name for name in left.feature_names if name in right.feature_names]
    columns = (*left.primary_key, left.event_time, *shared)
    larger = (a, left) if a.summary(left).rows >= b.summary(right).rows else (b, right)
    for piece in _within(pieces(*larger, size, as_of=as_of), between):
        one = a.read(left, *piece.range, columns=columns, as_of=as_of)
        other = b.read(right, *piece.range, columns=columns, as_of=as_of)
        _compare(found, left, one, other, (left.event_time, *shared), tolerance)
        progress(max(len(one), len(other)))
    return found


def _within(cut: Sequence[Piece], between: Range) -> list[Piece]:
    """The pieces as far as they lie in a range."""
    low, high = (None if edge is None else to_micros(edge) for edge in between)
    kept = []
    for piece in cut:
        start = piece.start if low is None else low if piece.start is None else max(low, piece.start)
        end = piece.end if high is None else high if piece.end is None else min(high, piece.end)
        if start is None or end is None or start < end:
            kept.append(Piece(start, end, piece.rows))
    return kept


def _compare(
    found: GroupDifference, group: FeatureGroup, a: pd.DataFrame, b: pd.DataFrame, names: Sequence[str],
    tolerance: Tolerance,
) -> None:  # fmt: skip
    key = group.primary_key
    aligned = align(a, b, key)
    found.rows_a += len(a)
    found.rows_b += len(b)
    found.compared += len(aligned.a)
    found.missing_in_a += len(aligned.only_b)
    found.missing_in_b += len(aligned.only_a)
    if len(aligned.only_b) and found.first_missing_in_a is None:
        found.first_missing_in_a = key_of(b, _first(b, group, aligned.only_b), key)
    if len(aligned.only_a) and found.first_missing_in_b is None:
        found.first_missing_in_b = key_of(a, _first(a, group, aligned.only_a), key)
    for name in names:
        one = a[name].iloc[aligned.a].reset_index(drop=True)
        other = b[name].iloc[aligned.b].reset_index(drop=True)
        wrong = np.flatnonzero(~equal_values(one, other, tolerance))
        if len(wrong):
            first = int(wrong[np.argmin(a[group.event_time].iloc[aligned.a[wrong]].to_numpy())])
            at = key_of(a, int(aligned.a[first]), key)
            found.features[name] = _joined(found.features.get(name), _divergence(name, at, one, other, wrong, first))


def _first(frame: pd.DataFrame, group: FeatureGroup, positions: Any) -> int:
    """The earliest of these rows by event time."""
    return int(positions[np.argmin(frame[group.event_time].iloc[positions].to_numpy())])


def _divergence(name: str, key: dict[str, Any], a: pd.Series, b: pd.Series, wrong: Any, first: int) -> Divergence:
    difference = apart = largest = None
    if a.dtype.kind in "fib" and b.dtype.kind in "fib":
        one, other = a.to_numpy(dtype="float64"), b.to_numpy(dtype="float64")
        distances = np.abs(one[wrong] - other[wrong])
        largest = None if np.isnan(distances).all() else float(np.nanmax(distances))
        if not np.isnan(one[first] - other[first]):
            difference = float(other[first] - one[first])
            apart = float(ulps(one[first : first + 1], other[first : first + 1])[0])
    return Divergence(name, len(wrong), key, plain(a.iloc[first]), plain(b.iloc[first]), difference, apart, largest)


def _joined(before: Divergence | None, found: Divergence) -> Divergence:
    if before is None:
        return found
    largest = [value for value in (before.largest, found.largest) if value is not None]
    return attrs.evolve(before, rows=before.rows + found.rows, largest=max(largest, default=None))
