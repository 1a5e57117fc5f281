"""Every trial on every test period, kept so that the best of many is not taken for skill."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import attrs

from btcfs.errors import SchemaError
from btcfs.training.intervals import chance_of

FILE = "trials.jsonl"
SHOPPING = 3  # test windows over one state of the data, from which on a good one may have been chosen


@attrs.frozen
class Trial:
    """One look at one test period, in microseconds of event time. ``newest`` is the newest row stored then."""

    version: str
    made_at: str
    kind: Literal["walk-forward", "holdout"]
    task: str
    model: str
    market: str
    label: str
    training_set: str
    start: int
    end: int
    newest: str
    rows: int
    hits: int
    base_rate: float

    @property
    def accuracy(self) -> float:
        return self.hits / self.rows if self.rows else 0.0

    def to_dict(self) -> dict[str, Any]:
        return attrs.asdict(self)


@attrs.frozen
class Deflated:
    """How surprising the best of all trials on overlapping test periods is, in numbers and one sentence.

    ``chance_one`` is that of such a score by one trial without skill, ``chance_best`` that of the
    best of as many independent ones. Trials on one period resemble each other, so the truth lies between.
    """

    trials: int
    windows: int
    best: float
    chance_one: float
    chance_best: float
    text: str

    def to_dict(self) -> dict[str, Any]:
        return attrs.asdict(self)


def record(models_dir: str | Path, trials: Sequence[Trial]) -> None:
    """Append trials; each line is written at once, so that concurrent trainings lose none."""
    folder = Path(models_dir)
    folder.mkdir(parents=True, exist_ok=True)
    lines = "".join(json.dumps(trial.to_dict(), sort_keys=True) + "\n" for trial in trials)
    with _appended(folder / FILE) as file:
        os.write(file, lines.encode())


def read_trials(models_dir: str | Path) -> list[Trial]:
    """All trials, oldest first. SchemaError, naming the line, for one that is none."""
    path = Path(models_dir) / FILE
    if not path.is_file():
        return []
    found = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            found.append(Trial(**json.loads(line)))
        except (ValueError, TypeError) as exc:
            raise SchemaError(
                f"{path}, line {number} is not a trial: {exc}; put the file back as btcfs wrote it"
            ) from exc
    return found


def overlapping(trials: Sequence[Trial], trial: Trial) -> list[Trial]:
    """The trials of the same market and task whose test period shares an instant with this one's."""
    return [
        other
        for other in trials
        if (other.market, other.task) == (trial.market, trial.task)
        and other.start <= trial.end
        and trial.start <= other.end
    ]


def deflate(trials: Sequence[Trial], trial: Trial) -> Deflated:
    """The statement on this trial among all on overlapping periods, itself included, judged by the luckiest of them."""
    alike = [*overlapping(trials, trial), trial]
    base = max(max(t.base_rate, 1 - t.base_rate) for t in alike)
    best = min(alike, key=lambda t: chance_of(t.hits, t.rows, max(t.base_rate, 1 - t.base_rate, 0.5)))
    one = chance_of(best.hits, best.rows, max(best.base_rate, 1 - best.base_rate, 0.5))
    many = 1 - (1 - one) ** len(alike)
    tries = "try" if len(alike) == 1 else "tries"
    text = (
        f"best of {len(alike)} {tries} on overlapping test periods: {best.accuracy:.3f} on {best.rows:,} rows; "
        f"chance of at least that by luck {_percent(one)}"
    )
    if len(alike) > 1:
        text += f" to {_percent(many)}"
    return Deflated(
        len(alike), len(_windows(alike, trial.newest)), best.accuracy, one, many, f"{text} (base rate {base:.3f})"
    )


def shopped(trials: Sequence[Trial], trial: Trial) -> str | None:
    """The reason, if so many test windows were tried on one state of the data that a good one may have been chosen."""
    windows = _windows([*overlapping(trials, trial), trial], trial.newest)
    if len(windows) < SHOPPING:
        return None
    return (
        f"test-window shopping: {len(windows)} different test periods were tried on the same data; "
        f"the best of them is not a result, decide on one beforehand"
    )


def openings(trials: Sequence[Trial], trial: Trial) -> int:
    """How often a holdout sharing this one's period was opened before."""
    return len({t.version for t in overlapping(trials, trial) if t.kind == "holdout"})


def _windows(trials: Sequence[Trial], newest: str) -> set[tuple[int, int]]:
    """Test periods tried while the store held the same newest row; later data shift a window without any choice."""
    return {(t.start, t.end) for t in trials if t.newest == newest and t.kind == "walk-forward"}


def _percent(chance: float) -> str:
    if chance < 0.001:
        return "below 0.1 %"
    return "above 99 %" if chance > 0.99 else f"{100 * chance:.2g} %"


@contextmanager
def _appended(path: Path) -> Iterator[int]:
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        yield file
    finally:
        os.close(file)
