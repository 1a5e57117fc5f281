"""Whether a shadow's answer is the primary's, and where not."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from btcfs.definitions import FeatureView
from btcfs.errors import NotFound
from btcfs.store import FeatureStore, FeatureVector
from btcfs.transfer.comparing import EXACT, Tolerance, align, equal_values, key_of, plain
from btcfs.transfer.tally import Tally

if TYPE_CHECKING:
    import pandas as pd


def judge_vectors(
    tally: Tally, shadow: FeatureStore, view: FeatureView, keys: Sequence[Mapping[str, Any]],
    answers: Sequence[FeatureVector], tolerance: Tolerance | None, seconds: float,
) -> None:  # fmt: skip
    """Ask the shadow for the same vectors and compare them.

    Those of another event time count as ``ahead`` or ``behind``, not as disagreements: a row came to one store
    between the two reads, or comes to the shadow later.
    """
    begun = time.perf_counter()
    found: list[FeatureVector | None] = []
    try:
        found.extend(shadow.get_online_features(view, keys))
    except NotFound:
        found = [_one(shadow, view, key) for key in keys]
    tally.took(seconds, time.perf_counter() - begun)
    for key, answer, other in zip(keys, answers, found, strict=True):
        if other is None:
            tally.count("missing", {"where": view.title, "key": _shown(key)})
        elif other.event_time != answer.event_time:
            kind = "ahead" if other.event_time > answer.event_time else "behind"
            times = {"primary": answer.event_time.isoformat(), "shadow": other.event_time.isoformat()}
            tally.count(kind, {"where": view.title, "key": _shown(key), **times})
        else:
            _compare_vector(tally, view, key, answer, other, tolerance or EXACT)
            tally.count("compared")


def judge_rows(
    tally: Tally, where: str, answer: pd.DataFrame | None, ask: Callable[[], pd.DataFrame], names: Sequence[str],
    key: Sequence[str] | None, tolerance: Tolerance | None, seconds: float,
) -> None:  # fmt: skip
    """Ask the shadow for the same rows and compare these columns, by key or, without one, by position."""
    begun = time.perf_counter()
    try:
        other = ask()
    except NotFound:
        tally.count("compared" if answer is None else "missing", None if answer is None else {"where": where})
        return
    if answer is None:
        tally.count("extra", {"where": where})
        return
    tally.took(seconds, time.perf_counter() - begun)
    one = answer.reset_index(drop=True)
    other = other.reset_index(drop=True)
    if key is None:
        count = min(len(one), len(other))
        places_a = places_b = np.arange(count)
        only_a, only_b = len(one) - count, len(other) - count
    else:
        aligned = align(one, other, key)
        places_a, places_b, only_a, only_b = aligned.a, aligned.b, len(aligned.only_a), len(aligned.only_b)
    for kind, count in (("missing", only_a), ("extra", only_b)):
        if count:
            tally.count(kind, {"where": where, "rows": count})
    for name in names:
        left, right = one[name].iloc[places_a], other[name].iloc[places_b]
        left, right = left.reset_index(drop=True), right.reset_index(drop=True)
        wrong = np.flatnonzero(~equal_values(left, right, tolerance or EXACT))
        example = None
        if len(wrong):
            at = int(wrong[0])
            shown = {"row": at} if key is None else key_of(one, int(places_a[at]), key)
            example = {"key": shown, "primary": plain(left.iloc[at]), "shadow": plain(right.iloc[at])}
        tally.add(where, name, len(left), len(wrong), _largest(left, right, wrong), example)
    tally.count("compared")


def _one(shadow: FeatureStore, view: FeatureView, key: Mapping[str, Any]) -> FeatureVector | None:
    try:
        return shadow.get_online_features(view, [key])[0]
    except NotFound:
        return None


def _compare_vector(
    tally: Tally, view: FeatureView, key: Mapping[str, Any], one: FeatureVector, other: FeatureVector,
    tolerance: Tolerance,
) -> None:  # fmt: skip
    equal = tolerance.equal(one.values, other.values)
    for place, name in enumerate(view.features):
        if equal[place]:
            tally.add(view.title, name, 1)
            continue
        a, b = float(one.values[place]), float(other.values[place])
        example = {
            "key": _shown(key),
            "event_time": one.event_time.isoformat(),
            "primary": plain(a),
            "shadow": plain(b),
        }
        tally.add(view.title, name, 1, 1, None if np.isnan(a - b) else abs(a - b), example)


def _largest(one: pd.Series, other: pd.Series, wrong: Any) -> float | None:
    if not len(wrong) or one.dtype.kind not in "fib" or other.dtype.kind not in "fib":
        return None
    apart = np.abs(one.to_numpy(dtype="float64")[wrong] - other.to_numpy(dtype="float64")[wrong])
    return None if np.isnan(apart).all() else float(np.nanmax(apart))


def _shown(key: Mapping[str, Any]) -> dict[str, str]:
    return {name: str(value) for name, value in key.items()}
