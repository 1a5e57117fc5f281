"""What a walk-forward run scored: metrics with intervals, baselines with differences, by fold and by year."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs
import numpy as np

from btcfs.training import metrics
from btcfs.training.baselines import Baseline, change_baselines, direction_baselines
from btcfs.training.datasets import TrainingSet
from btcfs.training.intervals import (
    Interval,
    Resampling,
    block_length,
    chance_of_agreement,
    chance_of_mean,
    percentiles,
    rows_needed,
    smallest_edge,
    wilson,
)
from btcfs.training.labels import Floats, Integers
from btcfs.training.splits import Fold
from btcfs.training.walk import Task, Walk

DRAWS = 2000
AUC_DRAWS = 200  # each sorts all rows
CURVE_POINTS = 400


@attrs.frozen(eq=False)
class Comparison:
    """A baseline beside the model; differences are the model's minus the baseline's.

    ``score`` is accuracy or RMSE. ``hit_chance`` and ``loss_chance`` are those of as favourable a
    mean difference if the baseline were as good.
    """

    name: str
    score: Interval
    loss: float
    hit_difference: Interval
    loss_difference: Interval
    hit_chance: float
    loss_chance: float

    def to_dict(self) -> dict[str, Any]:
        return attrs.asdict(self)


@attrs.frozen(eq=False)
class Evaluation:
    """All that is known of one model on the rows it had not seen; rates are shares, changes in percent.

    ``information`` is the chance that forecasts go with outcomes as much as these if they know nothing.
    ``curves`` are cumulated hits above one half, of the model and of each baseline, at the ``curve_times``
    (microseconds), which are some hundreds of the tested rows' event times.
    """

    task: Task
    model: str
    rows: int
    metrics: dict[str, float]
    intervals: dict[str, Interval]
    wilson: Interval
    information: float
    baselines: tuple[Comparison, ...]
    train_score: float
    by_fold: list[dict[str, Any]]
    by_year: list[dict[str, Any]]
    calibration: list[dict[str, Any]]
    confusion: dict[str, int]
    thresholds: list[dict[str, Any]]
    power: dict[str, Any]
    curves: dict[str, list[float]]
    curve_times: list[int]
    start: int
    end: int

    @property
    def strongest(self) -> Comparison:
        """The baseline that is hardest to beat: most hits for a direction, least error for a change."""
        if self.task == "classification":
            return max(self.baselines, key=lambda b: b.score.value)
        return min(self.baselines, key=lambda b: b.score.value)

    @property
    def strongest_is_beaten(self) -> bool:
        """Whether the score is better than the strongest baseline's, by however little."""
        if self.task == "classification":
            return self.strongest.hit_difference.value > 0
        return self.strongest.loss_difference.value < 0

    def baseline(self, name: str) -> Comparison:
        return next(b for b in self.baselines if b.name == name)

    def to_dict(self) -> dict[str, Any]:
        content = attrs.asdict(self)
        del content["curves"], content["curve_times"]
        return content


def evaluate(data: TrainingSet, run: Walk, folds: Sequence[Fold], model: str, *, seed: int = 0) -> Evaluation:
    """Score a walk over these folds; differences are taken row by row and resampled in blocks."""
    rows = run.rows
    resampling = Resampling.of(len(rows), block_length(len(rows), data.label.horizon), DRAWS, seed)
    if run.task == "classification":
        truth = data.direction[rows]
        right, losses = metrics.hits(truth, run.forecast), metrics.log_losses(truth, run.forecast)
        scores = metrics.classification_metrics(truth, run.forecast)
        intervals = _direction_intervals(truth, run.forecast, right, losses, resampling)
        against = direction_baselines(data.direction, data.change, data.past, data.label.threshold, folds)
    else:
        truth = data.change[rows]
        right = ((run.forecast > 0) == (truth > 0)).astype(np.float64)
        losses = np.square(truth - run.forecast)
        scores = metrics.regression_metrics(truth, run.forecast)
        intervals = _change_intervals(truth, run.forecast, right, resampling)
        against = change_baselines(data.change, data.past, folds)
    compared = tuple(_compared(run.task, b, right, losses, resampling, data.label.horizon) for b in against)
    directional = run.task == "classification"
    said = (run.forecast >= 0.5).astype(np.float64) if directional else run.forecast
    return Evaluation(
        task=run.task,
        model=model,
        rows=len(rows),
        metrics=scores,
        intervals=intervals,
        wilson=wilson(float(right.sum()), len(right)),
        information=chance_of_agreement(said, truth, lags_of(len(rows), data.label.horizon)),
        baselines=compared,
        train_score=run.train_score,
        by_fold=_grouped(run, truth, right, losses, run.fold.astype(str), "fold"),
        by_year=_grouped(run, truth, right, losses, years(data.event_times[rows]), "year"),
        calibration=metrics.calibration(truth, run.forecast) if directional else [],
        confusion=metrics.confusion(truth, run.forecast) if directional else {},
        thresholds=metrics.by_threshold(truth, run.forecast) if directional else [],
        power=power(len(rows), float(right.mean()), max((float(b.hits.mean()) for b in against), default=0.5)),
        curves={"model": _curve(right), **{b.name: _curve(b.hits) for b in against}},
        curve_times=data.event_times[rows[_drawn(len(rows))]].tolist(),
        start=int(data.event_times[rows[0]]),
        end=int(data.event_times[rows[-1]]),
    )


def power(rows: int, rate: float, base: float) -> dict[str, Any]:
    """Whether so many rows can tell this hit rate from the base rate, in numbers and one sentence."""
    needed = rows_needed(rate, base)
    edge = smallest_edge(rows, base)
    if needed is None:
        text = f"the model's {rate:.3f} is not above the base rate {base:.3f}, so no number of rows tells it apart"
    elif needed > rows:
        text = (
            f"this test set cannot distinguish {rate:.3f} from the base rate {base:.3f}: "
            f"{rows:,} rows, {needed:,} needed (one-sided 5 %, power 80 %)"
        )
    else:
        text = f"{rows:,} rows suffice to tell {rate:.3f} from {base:.3f}; {needed:,} are needed (one-sided 5 %, power 80 %)"
    return {"rows": rows, "base": base, "needed": needed, "smallest_detectable": edge, "text": text}


def years(times: Integers) -> np.ndarray[Any, Any]:
    """The calendar year, in UTC, of instants in microseconds."""
    return np.asarray((times.view("M8[us]").astype("M8[Y]").astype(np.int64) + 1970).astype(str))


def _direction_intervals(
    truth: Floats, forecast: Floats, right: Floats, losses: Floats, resampling: Resampling
) -> dict[str, Interval]:
    drawn = np.array([metrics.auc(truth[s], forecast[s]) for s in map(resampling.series, range(AUC_DRAWS))])
    return {
        "accuracy": resampling.mean(right),
        "log_loss": resampling.mean(losses),
        "brier": resampling.mean(np.square(forecast - truth)),
        "auc": percentiles(metrics.auc(truth, forecast), drawn),
        "base_rate": resampling.mean(truth),
    }


def _change_intervals(truth: Floats, forecast: Floats, right: Floats, resampling: Resampling) -> dict[str, Interval]:
    squares, error = np.square(truth - forecast), resampling.means(np.square(truth - forecast))
    spread = resampling.means(np.square(truth)) - np.square(resampling.means(truth))
    with np.errstate(divide="ignore", invalid="ignore"):
        r2 = 1 - error / spread
    total = float(np.square(truth - truth.mean()).sum())
    return {
        "rmse": percentiles(float(np.sqrt(squares.mean())), np.sqrt(error)),
        "mae": resampling.mean(np.abs(truth - forecast)),
        "r2": percentiles(1 - float(squares.sum()) / total if total else np.nan, r2),
        "sign_accuracy": resampling.mean(right),
    }


def _compared(
    task: Task, baseline: Baseline, right: Floats, losses: Floats, resampling: Resampling, horizon: int
) -> Comparison:
    score = resampling.mean(baseline.hits)
    if task == "regression":
        error = np.sqrt(resampling.means(baseline.losses))
        score = percentiles(float(np.sqrt(baseline.losses.mean())), error)
    ahead, difference = right - baseline.hits, losses - baseline.losses
    lags = lags_of(len(difference), horizon)
    return Comparison(
        name=baseline.name,
        score=score,
        loss=float(baseline.losses.mean()),
        hit_difference=resampling.mean(ahead),
        loss_difference=resampling.mean(difference),
        hit_chance=chance_of_mean(ahead, lags),
        loss_chance=chance_of_mean(-difference, lags),
    )


def lags_of(rows: int, horizon: int) -> int:
    """Over how many rows neighbours may depend on each other: those of one label, and the cube root of all."""
    return int(max(horizon, round(rows ** (1 / 3))))


def _grouped(
    run: Walk, truth: Floats, right: Floats, losses: Floats, group: np.ndarray[Any, Any], name: str
) -> list[dict[str, Any]]:
    found = []
    for value in dict.fromkeys(group.tolist()):
        here = group == value
        share = wilson(float(right[here].sum()), int(here.sum()))
        row: dict[str, Any] = {
            name: value,
            "rows": int(here.sum()),
            "hit_rate": share.to_dict(),
            "loss": float(losses[here].mean()),
        }
        if run.task == "classification":
            row["base_rate"] = float(truth[here].mean())
        found.append(row)
    return found


def _curve(right: Floats) -> list[float]:
    total = np.cumsum(right - 0.5)
    return [round(float(v), 2) for v in total[_drawn(len(total))]]


def _drawn(rows: int) -> Integers:
    """The rows that a curve shows: all, or some hundreds at even distances."""
    return np.unique(np.linspace(0, rows - 1, CURVE_POINTS).round().astype(np.int64))
