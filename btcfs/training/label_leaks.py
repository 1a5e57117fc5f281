"""Tripwires on the label: is it the declared one, and does it say anything that was known already?"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from btcfs.training.datasets import Booleans, TrainingSet
from btcfs.training.findings import Finding
from btcfs.training.labels import Floats, Integers, directions, labels, past_changes
from btcfs.training.metrics import correlation

EQUAL = 0.995  # of the labels; rounding may flip a candle that hardly moved
WIDEST = 10  # candles on each side of a smoothed price that are tried
KNOWN = 0.25  # a correlation with past moves that no honest daily label comes near


def label_findings(data: TrainingSet, development: TrainingSet) -> list[Finding]:
    """Findings on when the label is known, whether the prices give it, and what the past says of it.

    What labels correlate with is asked of the ``development`` rows only; the sealed ones stay unseen.
    """
    found = [_known_after(data)]
    if len(data.prices):
        found += [_declared(data), _from_the_past(development)]
    else:
        found.append(
            Finding(
                "label as declared", "warning", "not checked: the training set has no prices to make the label from"
            )
        )
    return found


def _known_after(data: TrainingSet) -> Finding:
    early = data.known_at <= data.event_times
    numbers = {"rows": float(early.sum())}
    if early.any():
        reason = (
            f"same-bar label: {int(early.sum()):,} labels are known at the decision itself, so they predict nothing"
        )
        return Finding("label after decision", "alarm", reason, numbers)
    return Finding("label after decision", "ok", "every label is known only after its decision", numbers)


def _declared(data: TrainingSet) -> Finding:
    name = "label as declared"
    truth, known_at = labels(data.price_times, data.prices, data.label)
    at, held = _rows(data)
    match = _agreement(data.y[held], truth[at], data.label.kind)
    early = int((data.known_at[held] < known_at[at]).sum())
    numbers = {"match": match, "known_too_early": float(early)}
    if match < EQUAL:
        reason = _explained(data, at, held) or f"the prices give the declared label in only {match:.1%} of the rows"
        return Finding(name, "alarm", reason, numbers)
    if early:
        reason = f"{early:,} labels are declared known before the candle that settles them closed, so nothing was purged for them"
        return Finding(name, "alarm", reason, numbers)
    return Finding(name, "ok", f"the prices give the declared label in {match:.1%} of the rows", numbers)


def _explained(data: TrainingSet, at: Integers, held: Booleans) -> str | None:
    """The sentence for a known way of making a dishonest label, if one gives these labels."""
    for change, reason in _suspects(data):
        if (
            _agreement(
                data.y[held],
                directions(change, data.label.threshold)[at],
                "direction",
                change=data.label.kind == "change",
            )
            >= EQUAL
        ):
            return reason
    return None


def _suspects(data: TrainingSet) -> Iterator[tuple[Floats, str]]:
    horizon = data.label.horizon
    past = past_changes(data.price_times, data.prices, horizon)
    yield past, "same-bar label: it is the move that had already ended at the decision"
    for half in range(1, WIDEST + 1):
        smooth = _centred_mean(data.prices, half)
        ahead = np.full(len(smooth), np.nan)
        ahead[:-horizon] = (smooth[horizon:] / smooth[:-horizon] - 1) * 100
        width = 2 * half + 1
        yield (
            ahead,
            f"centred label: it is the move of prices smoothed over {width} candles around each, so {half} of them were "
            f"known before the decision",
        )
        behind = np.full(len(smooth), np.nan)
        behind[horizon:] = ahead[:-horizon]
        yield behind, f"centred label: it is a past move of prices smoothed over {width} candles around each"


def _from_the_past(data: TrainingSet) -> Finding:
    """A label that correlates with moves that had ended was made from them, whatever it is called."""
    at, held = _rows(data)
    found = {}
    for width in range(1, WIDEST + 1):
        past = past_changes(data.price_times, data.prices, width)[at]
        # Signs, for a few great moves would drown the rest.
        known = ~np.isnan(past)
        found[width] = correlation(np.sign(past[known]), _centred(data, held)[known])
    width = max(found, key=lambda w: -1.0 if math.isnan(found[w]) else abs(found[w]))
    strongest = 0.0 if math.isnan(found[width]) else found[width]
    limit = max(KNOWN, 5 * math.sqrt(data.label.horizon / max(len(data), 1)))
    numbers = {"correlation": strongest, "candles": float(width), "limit": limit}
    before = "last candle" if width == 1 else f"last {width} candles"
    said = f"correlates {strongest:+.2f} with the move of the {before} before the decision"
    if abs(strongest) > limit:
        kind = "same-bar label" if width == data.label.horizon and abs(strongest) > 0.9 else "centred or same-bar label"
        return Finding("label from the past", "alarm", f"{kind}: it {said}; part of the answer was known", numbers)
    return Finding("label from the past", "ok", f"the label {said}, at most {limit:.2f} is chance", numbers)


def _centred(data: TrainingSet, held: Booleans) -> Floats:
    y = data.y[held]
    return np.asarray(np.sign(y - data.label.threshold) if data.label.kind == "change" else y)


def _rows(data: TrainingSet) -> tuple[Integers, Booleans]:
    """The price rows of the decisions, and which decisions have one."""
    at = np.minimum(np.searchsorted(data.price_times, data.event_times), len(data.prices) - 1)
    held = data.price_times[at] == data.event_times
    return at[held], held


def _agreement(given: Floats, expected: Floats, kind: str, *, change: bool = False) -> float:
    known = ~np.isnan(expected)
    if not known.any():
        return 0.0
    if kind == "change":
        return float(np.isclose(given[known], expected[known], rtol=1e-6, atol=1e-9).mean())
    said = given[known] > 0 if change else given[known] == 1.0
    return float((said == (expected[known] == 1.0)).mean())


def _centred_mean(prices: Floats, half: int) -> Floats:
    width = 2 * half + 1
    smooth = np.full(len(prices), np.nan)
    if len(prices) >= width:
        smooth[half : len(prices) - half] = np.convolve(prices, np.full(width, 1 / width), mode="valid")
    return smooth
