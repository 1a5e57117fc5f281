"""One row as the online store keeps it: types narrowed to MySQL's, and rows refused that do not fit."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from btcfs_hopsworks.emulator.hive import to_mysql
from btcfs_hopsworks.emulator.metadata import Feature, Group

_EPOCH = datetime(1970, 1, 1)

Value = bool | int | float | str | bytes | date | datetime | Decimal | None


class RowRefused(Exception):
    """The online store cannot keep a row: a value is too long, or a key is missing."""


def online_type(feature: Feature) -> str:
    """The MySQL type of a column, lower case: the one its group names, or that of its Hive type."""
    return (feature.online_type or to_mysql(feature.type)).strip().lower()


def row_fitter(group: Group) -> Callable[[Mapping[str, Any]], tuple[Value, ...]]:
    """A function from a row, as the Avro reader gives it, to its online values, in the order of ``group.online_features``.

    It raises RowRefused where MySQL in strict mode would refuse the row.
    """
    columns = tuple((feature, fitter(feature)) for feature in group.online_features)

    def fitted(row: Mapping[str, Any]) -> tuple[Value, ...]:
        return tuple(_fit(feature, fit, row.get(feature.name)) for feature, fit in columns)

    return fitted


def fitter(feature: Feature) -> Callable[[Any], Value]:
    """A function from a decoded value that is not null to what the column keeps of it."""
    kind = online_type(feature)
    length = _number(kind)
    if kind.startswith(("varchar", "char")):
        return lambda value: _limited(feature, str(value), length)
    if kind.startswith(("varbinary", "binary")):
        return lambda value: _limited(feature, bytes(value), length)
    if kind.startswith(("timestamp", "datetime")):
        return lambda value: _instant(value, length or 0)
    if kind.startswith(("float", "double")):
        # Neither NaN nor infinity exists in MySQL.
        return lambda value: float(value) if math.isfinite(value) else None
    if kind.startswith(("tinyint", "smallint", "int", "bigint")):
        return int
    if kind.startswith("date"):
        return lambda value: (_EPOCH + timedelta(days=value)).date()
    return lambda value: value


def _fit(feature: Feature, fit: Callable[[Any], Value], value: Any) -> Value:
    if value is None:
        if feature.primary:
            raise RowRefused(f"primary key {feature.name} is null")
        return None
    return fit(value)


def _number(kind: str) -> int | None:
    found = re.search(r"\((\d+)", kind)
    return int(found[1]) if found else None


def _limited(feature: Feature, value: str | bytes, length: int | None) -> str | bytes:
    if length is not None and len(value) > length:
        raise RowRefused(f"{feature.name} has length {len(value)}, and {online_type(feature)} keeps {length}")
    return value


def _instant(microseconds: int, digits: int) -> datetime:
    """UTC without a zone, cut (not rounded) to this many digits of a second."""
    step = 10 ** (6 - min(digits, 6))
    return _EPOCH + timedelta(microseconds=microseconds // step * step)
