"""Splits in time: expanding walk-forward folds, purged and embargoed, and a sealed holdout at the end."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import attrs
import numpy as np

from btcfs.errors import ConfigError, InsufficientHistory
from btcfs.instants import from_micros
from btcfs.training.labels import Integers

LEAST_TRAIN = 60
MORE_ROWS = (
    "ingest a longer history with btcfs ingest historical --days N, widen start and end, or walk forward in fewer folds"
)


@attrs.frozen(eq=False)
class Fold:
    """Rows to fit on and, after them, rows to predict; ``purged`` and ``embargoed`` rows between are in neither.

    A purged row's label is not known yet when the first row of the test is decided; an embargoed
    one's only just.
    """

    train: Integers
    test: Integers
    purged: int
    embargoed: int


@attrs.frozen(eq=False)
class Split:
    """Walk-forward ``folds`` over the development rows, and the ``holdout`` that no fold sees."""

    folds: tuple[Fold, ...]
    holdout: Fold
    embargo: int  # microseconds
    rows: int

    @property
    def tested(self) -> Integers:
        """All rows that a fold tests, ascending."""
        return np.concatenate([fold.test for fold in self.folds])

    def describe(self, times: Integers) -> dict[str, Any]:
        """The split as JSON: sizes, and event times of the first and last row of each part."""

        def part(fold: Fold) -> dict[str, Any]:
            return {
                "train": _span(times, fold.train),
                "test": _span(times, fold.test),
                "purged": fold.purged,
                "embargoed": fold.embargoed,
            }

        return {
            "kind": "expanding walk-forward",
            "rows": self.rows,
            "embargo_seconds": self.embargo / 1e6,
            "folds": [part(fold) for fold in self.folds],
            "holdout": part(self.holdout),
        }


def walk_forward(
    event_times: Integers,
    known_at: Integers,
    *,
    test_size: float = 0.1,
    folds: int = 10,
    first_train: float = 0.2,
    embargo: int | None = None,
) -> Split:
    """Split rows in time order; the sizes in time of purge and embargo follow from the labels.

    ``test_size`` is the share of rows sealed as holdout, ``first_train`` the share of the others
    that the first fold may fit on. The ``embargo``, in microseconds, is by default the usual time
    from a decision to its label, and never less than that. ConfigError for shares that are none;
    InsufficientHistory if a part would be too small.
    """
    if not 0.0 < test_size < 0.9:
        raise ConfigError(f"test size {test_size} is not a share above 0 and below 0.9")
    if not 0.0 < first_train < 0.95 or folds < 1:
        raise ConfigError(
            f"first train share {first_train} with {folds} folds; expected above 0 and below 0.95, and at least 1"
        )
    rows = len(event_times)
    sealed = rows - max(1, round(rows * test_size))
    gap = label_span(event_times, known_at)
    if embargo is not None and embargo < gap:
        raise ConfigError(f"an embargo of {embargo / 1e6} s is shorter than the label looks ahead, {gap / 1e6} s")
    gap = gap if embargo is None else embargo
    least = LEAST_TRAIN + _rows_apart(event_times, gap)
    first = max(least, round(sealed * first_train))
    if sealed < first + folds:
        needed = math.ceil((least + folds + 1) / (1 - test_size))
        raise InsufficientHistory(needed, rows, f"{folds} walk-forward folds", MORE_ROWS)
    bounds = np.linspace(first, sealed, folds + 1).round().astype(np.int64)
    made = [_fold(event_times, known_at, int(a), int(b), gap) for a, b in pairwise(bounds)]
    holdout = _fold(event_times, known_at, sealed, rows, gap)
    return Split(tuple(made), holdout, gap, rows)


def unsplit(times: Integers) -> dict[str, Any]:
    """The description, as ``Split.describe`` gives one, of rows that were all handed out together."""
    return {"kind": "all rows", "rows": len(times), "all": _span(times, np.arange(len(times)))}


def label_span(event_times: Integers, known_at: Integers) -> int:
    """The usual time from a decision until its label is known, in microseconds; gaps in the candles stretch single ones."""
    return int(np.median(known_at - event_times))


def _rows_apart(event_times: Integers, gap: int) -> int:
    """About how many rows a purge and an embargo of that length take out."""
    step = int(np.median(np.diff(event_times))) if len(event_times) > 1 else 0
    return 2 * math.ceil(gap / step) if step else 0


def _fold(event_times: Integers, known_at: Integers, start: int, stop: int, embargo: int) -> Fold:
    decision = event_times[start]
    known = known_at[:start] <= decision
    allowed = known_at[:start] + embargo <= decision
    return Fold(
        train=np.flatnonzero(allowed),
        test=np.arange(start, stop),
        purged=int((~known).sum()),
        embargoed=int((known & ~allowed).sum()),
    )


def _span(times: Integers, rows: Integers) -> dict[str, Any]:
    if not len(rows):
        return {"rows": 0, "start": None, "end": None}
    start, end = (from_micros(times[row]).isoformat() for row in rows[[0, -1]])
    return {"rows": len(rows), "start": start, "end": end}
