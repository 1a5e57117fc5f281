"""One row of 47 features through each model: compiled, and through scikit-learn as the guide calls it."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np
import pandas as pd

from btcfs.models import ModelKind
from btcfs.training.compiled import Compiled, compile_pipeline
from btcfs_models.kinds import kinds

BAR = 200.0
TRAINED, COMPARED = 2_900, 10_000
FEATURES = ("return_1", *(f"feature_{number}" for number in range(46)))
MODELS = ("random_forest", "hist_gradient_boosting", "logistic", "ridge")


def main(scale: float = 1.0) -> list[tuple[str, float, str]]:
    """Medians of interleaved calls as ratios; for the forest also labels and probabilities over 10,000 unseen rows."""
    # Said of every call on an array to an estimator that was fitted on a frame; the array is what is to be timed.
    warnings.filterwarnings("ignore", "X does not have valid feature names", UserWarning)
    by_name = {kind.name: kind for kind in kinds()}
    rows: list[tuple[str, float, str]] = []
    for name in MODELS:
        pipeline, model = _fitted(by_name[name], max(200, int(TRAINED * scale)))
        calls = max(5, int(20 * scale))
        rows += _ratios(name, pipeline, model, calls)
        if name == "random_forest":
            rows += _equality(pipeline, model, max(100, int(COMPARED * scale)))
    return rows


def _fitted(kind: ModelKind, count: int) -> tuple[Any, Compiled]:
    matrix = _matrix(count, 1)
    noise = np.random.default_rng(2).normal(size=count) + (matrix[:, 1] - matrix[:, 1].mean()) / matrix[:, 1].std()
    target = (noise > 0).astype(float) if kind.task == "classification" else noise
    pipeline = kind.estimator(FEATURES).fit(pd.DataFrame(matrix, columns=list(FEATURES)), target)
    return pipeline, compile_pipeline(pipeline, kind.task)


def _matrix(count: int, seed: int) -> Any:
    noise = np.random.default_rng(seed).normal(size=(count, len(FEATURES)))
    return noise * np.geomspace(1e-3, 1e5, len(FEATURES)) + np.linspace(-10, 4e4, len(FEATURES))


def _ratios(name: str, pipeline: Any, model: Compiled, calls: int) -> list[tuple[str, float, str]]:
    seconds: dict[str, list[float]] = {"frame": [], "array": [], "compiled": []}
    for call in range(calls + 2):
        row = _matrix(1, 100 + call)
        frame = pd.DataFrame(row, columns=list(FEATURES))
        taken = {
            "frame": _seconds(pipeline.predict, frame),
            "array": _seconds(pipeline[-1].predict, row),  # the bare estimator, given scaled numbers
            "compiled": median(_seconds(model.predict, row[0]) for _ in range(25)),
        }
        if call >= 2:  # the first calls warm the caches
            for way, value in taken.items():
                seconds[way].append(value)
    medians = {way: median(values) for way, values in seconds.items()}
    times = f"{1e6 * medians['frame']:.0f} / {1e6 * medians['compiled']:.1f} µs"
    bar = f">= {BAR:.0f}" if name == "random_forest" else "for information"
    return [
        (f"{name}: pipeline on a DataFrame / compiled ({times})", medians["frame"] / medians["compiled"], bar),
        (f"{name}: estimator on an array / compiled", medians["array"] / medians["compiled"], "for information"),
    ]


def _equality(pipeline: Any, model: Compiled, count: int) -> list[tuple[str, float, str]]:
    matrix = _matrix(count, 3)
    frame = pd.DataFrame(matrix, columns=list(FEATURES))
    given = model.predict_many(matrix)
    labels, up = pipeline.predict(frame), pipeline.predict_proba(frame)[:, 1]
    return [
        (f"random_forest: other labels of {count:,}", float(((given > 0.5) != (labels == 1.0)).sum()), "0"),
        (f"random_forest: largest difference of probability of {count:,}", float(np.abs(given - up).max()), "<= 1e-9"),
    ]


def _seconds(call: Callable[[Any], Any], argument: Any) -> float:
    begun = time.perf_counter()
    call(argument)
    return time.perf_counter() - begun


if __name__ == "__main__":
    for name, ratio, bar in main():
        print(f"{name:78s} {ratio:10.3g}   bar {bar}")
