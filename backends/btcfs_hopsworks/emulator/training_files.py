"""Writes a training dataset's files: one folder for each split, or one for the whole."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from btcfs_hopsworks.emulator.metadata import TrainingSet, View
from btcfs_hopsworks.emulator.offline_sql import offline_sql
from btcfs_hopsworks.emulator.planes import DataPlane
from btcfs_hopsworks.emulator.queries import plan
from btcfs_hopsworks.emulator.state import State
from btcfs_hopsworks.emulator.view_building import windowed

TIME_SERIES = "TIME_SERIES_SPLIT"


def write(state: State, plane: DataPlane, view: View, found: TrainingSet, query: Mapping[str, Any]) -> dict[str, int]:
    """Runs the query and writes its rows; how many by folder."""
    written = {}
    for folder, table in _tables(state, plane, view, found, query):
        path = state.file(f"{found.location}/{folder}") / f"part-00000.{found.data_format}"
        path.parent.mkdir(parents=True, exist_ok=True)
        _write(table, path, found.data_format)
        written[folder] = table.num_rows
    return written


def _tables(
    state: State, plane: DataPlane, view: View, found: TrainingSet, query: Mapping[str, Any]
) -> Iterator[tuple[str, Any]]:
    splits = found.body.get("splits") or ()
    if not splits:
        yield f"{view.name}_{view.version}", plane.query(offline_sql(plan(state, query)))
    elif splits[0].get("splitType") == TIME_SERIES:
        for split in splits:
            part = windowed(state, query, split.get("startTime"), split.get("endTime"))
            yield split["name"], plane.query(offline_sql(plan(state, part)))
    else:
        table = plane.query(offline_sql(plan(state, query)))
        shares = [float(split["percentage"]) for split in splits]
        rows = _divided(table.num_rows, shares, found.body.get("seed"))
        for split, chosen in zip(splits, rows, strict=True):
            yield split["name"], table.take(pa.array(chosen))


def _divided(rows: int, shares: Sequence[float], seed: int | None) -> list[Any]:
    """Which rows go to each split, at random; the same seed divides the same rows alike."""
    order = np.random.default_rng(seed).permutation(rows)
    bounds = np.rint(np.cumsum(shares) / sum(shares) * rows).astype(int)
    return [np.sort(part) for part in np.split(order, bounds[:-1])]


def _write(table: Any, path: Path, data_format: str) -> None:
    if data_format == "parquet":
        pyarrow.parquet.write_table(table, path)
        return
    options = pyarrow.csv.WriteOptions(delimiter="\t" if data_format == "tsv" else ",")
    pyarrow.csv.write_csv(table, path, options)
