"""Hashes of a group's rows by day, computed in Postgres where they lie, so that none must be sent to be compared."""

from __future__ import annotations

from typing import Any

from btcfs.definitions import FeatureGroup
from btcfs_feast.postgres_copy import quoted

# What Postgres has in any database: the functions by which it cuts tables into partitions. The second argument is a seed.
_HASHES = {
    "float64": "hashfloat8extended({value}, {seed})",
    "int64": "hashint4extended(({value} >> 32)::int4, hashint4extended((({value} << 32) >> 32)::int4, {seed}))",
    "bool": "hashint4extended({value}::int4, {seed})",
    "string": "hashint8extended(hashtextextended({value}, 0), {seed})",
    "timestamp": "timestamp_hash_extended({value}::timestamp, {seed})",
}
_VERSION = 140_000  # from which on there is bit_xor


def can_hash(connection: Any) -> bool:
    """Whether this server's hashes are the ones that are known; of a text it hashes the bytes, which UTF-8 decides."""
    info = connection.info
    return bool(info.server_version >= _VERSION and info.parameter_status("server_encoding") == "UTF8")


def by_day(group: FeatureGroup, conditions: dict[str, str]) -> str:
    """The query for the rows that meet each table's condition together.

    It answers with each day of event time, in days since 1970, the number of its rows, and a hash of their event times and
    of each feature: the exclusive or of the hashes of its values, each with the hash of the row's key for its seed.
    """
    seed = "0"
    for name in group.primary_key:
        seed = _hash(group.dtypes[name], quoted(name), seed)
    columns = [group.event_time, *group.feature_names]
    # Numbered, for a feature may have any name.
    taken = ", ".join(f"{quoted(name)} AS c{place}" for place, name in enumerate(columns))
    day = f"{quoted(group.event_time)}::timestamp::date - '1970-01-01'::date"
    rows = " UNION ALL ".join(
        f"SELECT {day} AS day, {seed} AS seed, {taken} FROM {quoted(table)} WHERE {condition}"
        for table, condition in conditions.items()
    )
    hashes = ", ".join(
        f"coalesce(bit_xor({_hash(group.dtypes[name], f'c{place}', 'seed')}), 0)" for place, name in enumerate(columns)
    )
    return f"SELECT day, count(*), ARRAY[{hashes}] FROM ({rows}) q GROUP BY day"


def _hash(dtype: str, value: str, seed: str) -> str:
    return _HASHES[dtype].format(value=value, seed=seed)
