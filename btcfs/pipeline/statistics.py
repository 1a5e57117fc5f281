"""Statistics of the rows of one commit, gathered chunk by chunk and kept as a feature group of their own."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import attrs
import numpy as np
import pandas as pd

from btcfs.definitions import Feature, FeatureGroup
from btcfs.pipeline.histogram import Histogram

Floats = np.ndarray[Any, np.dtype[np.float64]]

QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
SAMPLE_ROWS = 100_000
BLOCK_ROWS = 16_384  # so that a block of some fifty columns stays in the processor's cache

_NUMBERS = ("mean", "std", "min", "max", *(f"q{round(q * 100):02d}" for q in QUANTILES))

STATISTICS = FeatureGroup(
    name="btcfs_statistics",
    version=1,
    primary_key=("feature_group", "feature", "timestamp"),
    features=[
        Feature("commit_id", "string", description="the commit whose rows are described"),
        Feature("rows", "int64", unit="rows", description="rows in the commit"),
        Feature("missing", "int64", unit="rows", description="rows without a value"),
        *(Feature(name, unit="as the feature") for name in _NUMBERS),
        Feature("histogram", "string", description="JSON list of [low, high, rows] of the bins that are not empty"),
        Feature("correlations", "string", description="JSON object: Pearson correlation with each other feature"),
    ],
    description="Statistics of each commit, one row per feature; timestamp and event time are the commit's.",
)


@attrs.define
class Profile:
    """Running statistics of a group's rows: feed it frames in order, then ask for the table.

    Counts, moments, extremes, histogram and correlations are exact. Quantiles are exact up to
    ``SAMPLE_ROWS`` rows and beyond that those of every k-th row, so memory stays bounded and the
    answer does not depend on how the rows were cut into frames. Correlations use the rows in which
    no feature is missing. Moments: Chan, Golub and LeVeque (1983), Algorithms for computing the
    sample variance.
    """

    group: FeatureGroup
    rows: int = 0
    _columns: dict[str, _Column] = attrs.field(init=False)
    _joint: _Joint = attrs.field(init=False)
    _missing_texts: dict[str, int] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        numeric = [feature for feature in self.group.features if feature.numeric]
        self._columns = {f.name: _Column(Histogram(f.bounds)) for f in numeric}
        self._joint = _Joint(len(numeric))
        self._missing_texts = {f.name: 0 for f in self.group.features if not f.numeric}

    def add(self, frame: pd.DataFrame) -> None:
        """Take in the next rows; the frame has the group's columns."""
        arrays = {name: np.asarray(frame[name].to_numpy(), dtype=np.float64) for name in self._columns}
        for name, column in self._columns.items():
            column.add(arrays[name], self.rows)
        for name in self._missing_texts:
            self._missing_texts[name] += int(frame[name].isna().sum())
        if arrays:
            self._joint.add(list(arrays.values()))
        self.rows += len(frame)

    def table(self, commit_id: str, committed_at: datetime) -> pd.DataFrame:
        """One row per feature, in the columns of ``STATISTICS``."""
        correlations = self._joint.correlations(list(self._columns))
        rows = []
        for feature in self.group.features:
            column = self._columns.get(feature.name)
            rows.append(
                {
                    "feature_group": self.group.title,
                    "feature": feature.name,
                    "timestamp": committed_at,
                    "event_time": committed_at,
                    "commit_id": commit_id,
                    "rows": self.rows,
                    "missing": self._missing_texts[feature.name] if column is None else column.missing,
                    **({name: np.nan for name in _NUMBERS} if column is None else column.numbers()),
                    "histogram": None if column is None else json.dumps(column.histogram.bins()),
                    "correlations": None if column is None else json.dumps(correlations[feature.name]),
                }
            )
        return pd.DataFrame(rows)


@attrs.define
class _Column:
    """The running statistics of one numeric column."""

    histogram: Histogram
    count: int = 0
    missing: int = 0
    mean: float = 0.0
    squares: float = 0.0
    low: float = np.inf
    high: float = -np.inf
    stride: int = 1
    sample: list[Floats] = attrs.field(factory=list)

    def add(self, values: Floats, first_row: int) -> None:
        known = values[~np.isnan(values)]
        self.missing += len(values) - len(known)
        self._keep(values, first_row)
        if not len(known):
            return
        self.histogram.add(known)
        self.low = min(self.low, float(known.min()))
        self.high = max(self.high, float(known.max()))
        mean = float(known.mean())
        squares = float(np.square(known - mean).sum())
        total = self.count + len(known)
        shift = mean - self.mean
        self.squares += squares + shift * shift * self.count * len(known) / total
        self.mean += shift * len(known) / total
        self.count = total

    def _keep(self, values: Floats, first_row: int) -> None:
        offset = -first_row % self.stride
        self.sample.append(values[offset :: self.stride].copy())
        while sum(map(len, self.sample)) > SAMPLE_ROWS:
            self.sample = [np.concatenate(self.sample)[::2].copy()]
            self.stride *= 2

    def numbers(self) -> dict[str, float]:
        if not self.count:
            return {name: np.nan for name in _NUMBERS}
        sample = np.concatenate(self.sample)
        sample = sample[~np.isnan(sample)]
        quantiles = np.quantile(sample, QUANTILES) if len(sample) else [np.nan] * len(QUANTILES)
        std = float(np.sqrt(self.squares / (self.count - 1))) if self.count > 1 else np.nan
        return dict(zip(_NUMBERS, [self.mean, std, self.low, self.high, *map(float, quantiles)], strict=True))


@attrs.define
class _Joint:
    """The running co-moments of all numeric columns over their complete rows."""

    width: int
    count: int = 0
    mean: Floats = attrs.field(init=False)
    moments: Floats = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.mean = np.zeros(self.width)
        self.moments = np.zeros((self.width, self.width))

    def add(self, columns: Sequence[Floats]) -> None:
        for start in range(0, len(columns[0]), BLOCK_ROWS):
            self._add_block(np.stack([column[start : start + BLOCK_ROWS] for column in columns]))

    def _add_block(self, block: Floats) -> None:
        missing = np.isnan(block).any(axis=0)
        if missing.any():
            block = block[:, ~missing]
        rows = block.shape[1]
        if not rows:
            return
        mean = block.mean(axis=1)
        block -= mean[:, None]
        total = self.count + rows
        shift = mean - self.mean
        self.moments += block @ block.T + np.outer(shift, shift) * (self.count * rows / total)
        self.mean += shift * (rows / total)
        self.count = total

    def correlations(self, names: Sequence[str]) -> dict[str, dict[str, float | None]]:
        spread = np.sqrt(np.diag(self.moments))
        # Of a constant column only rounding noise is left; a correlation with noise would be made up.
        constant = spread <= 1e-12 * np.abs(self.mean) * np.sqrt(max(self.count, 1))
        with np.errstate(divide="ignore", invalid="ignore"):
            matrix = self.moments / np.outer(spread, spread)
        matrix[constant, :] = matrix[:, constant] = np.nan
        return {
            name: {
                other: None if np.isnan(matrix[i, j]) else round(float(np.clip(matrix[i, j], -1, 1)), 6)
                for j, other in enumerate(names)
                if i != j
            }
            for i, name in enumerate(names)
        }
