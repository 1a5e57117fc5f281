"""Descriptive statistics of rows in the warehouse, computed by SQL, with the fields that the API names."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from btcfs_hopsworks.emulator.metadata import Feature
from btcfs_hopsworks.emulator.planes import DataPlane
from btcfs_hopsworks.emulator.sql_text import DUCKDB

NUMBERS = ("tinyint", "smallint", "int", "bigint", "float", "double", "decimal")
_KINDS = {"double": "Fractional", "float": "Fractional", "boolean": "Boolean", "string": "String"}
BINS = 20


def describe(
    plane: DataPlane, rows: str, features: Sequence[Feature], config: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """One object for each feature; ``rows`` is a FROM item, ``config`` a statisticsConfig.

    NaN is not null and is left out of minimum, maximum, mean and percentiles.
    """
    chosen = set(config.get("columns") or ()) or {f.name for f in features}
    return [_feature(plane, rows, f, config) for f in features if f.name in chosen]


def is_number(feature: Feature) -> bool:
    return feature.type.split("(")[0] in NUMBERS


def _feature(plane: DataPlane, rows: str, feature: Feature, config: Mapping[str, Any]) -> dict[str, Any]:
    column = DUCKDB.name(feature.name)
    counted = _row(
        plane,
        f"SELECT count(*) AS n, count({column}) AS filled, count(DISTINCT {column}) AS different FROM {rows}",
    )
    total, filled, different = counted["n"], counted["filled"], counted["different"]
    found: dict[str, Any] = {
        "featureName": feature.name,
        "featureType": _KINDS.get(feature.type, "Integral" if is_number(feature) else "Unknown"),
        "count": total,
        "numNonNullValues": filled,
        "numNullValues": total - filled,
        "completeness": filled / total if total else 0.0,
        "approxNumDistinctValues": different,
    }
    if is_number(feature):
        found.update(_numbers(plane, rows, column))
    if config.get("exactUniqueness"):
        found.update(_uniqueness(plane, rows, column, filled, different))
    extended = {"histogram": _histogram(plane, rows, feature)} if config.get("histograms") and filled else {}
    return {**found, "extendedStatistics": json.dumps(extended)} if extended else found


def _numbers(plane: DataPlane, rows: str, column: str) -> dict[str, Any]:
    shares = ", ".join(str(i / 100) for i in range(1, 101))
    found = _row(
        plane,
        f"SELECT min(x) AS low, max(x) AS high, sum(x) AS total, avg(x) AS mean, stddev_pop(x) AS spread, "
        f"quantile_cont(x, [{shares}]) AS percentiles FROM {_finite(rows, column)}",
    )
    if found["low"] is None:
        return {}
    return {
        "min": found["low"],
        "max": found["high"],
        "sum": found["total"],
        "mean": found["mean"],
        "stdDev": found["spread"],
        "percentiles": found["percentiles"],
    }


def _finite(rows: str, column: str) -> str:
    return f"(SELECT x FROM (SELECT CAST({column} AS DOUBLE) AS x FROM {rows}) WHERE isfinite(x))"


def _uniqueness(plane: DataPlane, rows: str, column: str, filled: int, different: int) -> dict[str, Any]:
    if not filled:
        return {}
    counts = plane.query(f"SELECT count(*) AS n FROM {rows} WHERE {column} IS NOT NULL GROUP BY {column}").to_pydict()[
        "n"
    ]
    return {
        "distinctness": different / filled,
        "uniqueness": sum(n == 1 for n in counts) / filled,
        "entropy": -sum(n / filled * math.log(n / filled) for n in counts),
        "exactNumDistinctValues": different,
    }


def _histogram(plane: DataPlane, rows: str, feature: Feature) -> list[dict[str, Any]]:
    column = DUCKDB.name(feature.name)
    if not is_number(feature):
        counted = plane.query(
            f"SELECT CAST({column} AS VARCHAR) AS value, count(*) AS n FROM {rows} WHERE {column} IS NOT NULL "
            f"GROUP BY 1 ORDER BY n DESC, value LIMIT {BINS}"
        ).to_pydict()
        total = sum(counted["n"]) or 1
        return [
            {"value": value, "count": n, "ratio": n / total}
            for value, n in zip(counted["value"], counted["n"], strict=True)
        ]
    ends = _row(plane, f"SELECT min(x) AS low, max(x) AS high, count(*) AS n FROM {_finite(rows, column)}")
    if not ends["n"]:
        return []
    low, width = ends["low"], (ends["high"] - ends["low"]) / BINS or 1.0
    counted = plane.query(
        f"SELECT least(floor((x - {low!r}) / {width!r}), {BINS - 1})::INT AS bin, count(*) AS n "
        f"FROM {_finite(rows, column)} GROUP BY 1"
    ).to_pydict()
    by_bin = dict(zip(counted["bin"], counted["n"], strict=True))
    return [
        {
            "value": f"{low + i * width} to {low + (i + 1) * width}",
            "count": by_bin.get(i, 0),
            "ratio": by_bin.get(i, 0) / ends["n"],
        }
        for i in range(BINS)
    ]


def _row(plane: DataPlane, sql: str) -> dict[str, Any]:
    found: dict[str, Any] = plane.query(sql).to_pylist()[0]
    return found
