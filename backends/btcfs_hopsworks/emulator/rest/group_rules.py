"""What the server refuses in a feature group: names, types and sizes, each with its error code.

Source: the input validation and constants of the public server 4.0, as listed in the network contract.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from btcfs_hopsworks.emulator.metadata import Feature
from btcfs_hopsworks.emulator.rest.server import Refused

NAME = re.compile(r"[a-z][a-z0-9_]*")
NAME_LENGTH = 63
DESCRIPTION_LENGTH = 256
ONLINE_COLUMNS = 500
ROW_BYTES = 30_000
KEY_BYTES = 4_000
KEY_TYPES = frozenset({"int", "tinyint", "smallint", "bigint", "varchar", "varbinary", "date"})
EVENT_TIME_TYPES = frozenset({"timestamp", "date", "bigint"})
_BYTES = {"tinyint": 1, "smallint": 2, "int": 4, "bigint": 8, "float": 4, "double": 8, "timestamp": 8, "date": 8}
_SIZED = re.compile(r"(varchar|varbinary|char|binary)\((\d+)\)")
_FACTORS = {"varchar": 4.0, "char": 4.0, "varbinary": 1.4, "binary": 1.4}


def check_entity_name(name: object, what: str = "feature group") -> str:
    """The name, if the server would take it; Refused with 270091 if not."""
    if isinstance(name, str) and NAME.fullmatch(name) and len(name) <= NAME_LENGTH:
        return name
    raise Refused(
        400,
        270091,
        "Illegal feature store entity name",
        f"{what} name {name!r}: it must be at most {NAME_LENGTH} characters and match {NAME.pattern}",
    )


def check_description(description: str | None, code: int = 270092) -> None:
    if description is not None and len(description) > DESCRIPTION_LENGTH:
        raise Refused(
            400,
            code,
            "Illegal feature store entity description",
            f"it has {len(description)} characters; at most {DESCRIPTION_LENGTH} are allowed",
        )


def check_features(features: Sequence[Feature]) -> None:
    """Refused with 270040 for a name that breaks the rules, 270224 for one that comes twice."""
    for feature in features:
        if not (NAME.fullmatch(feature.name) and len(feature.name) <= NAME_LENGTH):
            raise Refused(
                400,
                270040,
                "Illegal feature name",
                f"{feature.name!r}: it must be at most {NAME_LENGTH} characters and match {NAME.pattern}",
            )
        check_description(feature.description, 270041)
    twice = [name for name, count in Counter(f.name for f in features).items() if count > 1]
    if twice:
        raise Refused(400, 270224, "Feature list contains duplicate feature names", ", ".join(twice))


def check_event_time(features: Sequence[Feature], event_time: str | None) -> None:
    """Refused with 270171 unless the event time is a feature of type timestamp, date or bigint."""
    if event_time is None:
        return
    kinds = {f.name: f.type for f in features}
    if kinds.get(event_time) not in EVENT_TIME_TYPES:
        raise Refused(
            400,
            270171,
            "Illegal event time feature type",
            f"event time {event_time!r} is {kinds.get(event_time, 'not a feature')}; "
            f"expected one of {', '.join(sorted(EVENT_TIME_TYPES))}",
        )


def check_online(features: Sequence[Feature]) -> None:
    """Refused with 270176 if the online store could not hold such rows."""
    online = [f for f in features if not (f.offline_only or f.on_demand)]
    keys = [f for f in online if f.primary]
    if not keys:
        raise _no_table("an online feature group needs a primary key")
    for key in keys:
        kind = (key.online_type or "").lower().split("(")[0]
        if kind not in KEY_TYPES:
            raise _no_table(
                f"primary key {key.name!r} is {key.online_type}; expected one of {', '.join(sorted(KEY_TYPES))}"
            )
    if len(online) > ONLINE_COLUMNS:
        raise _no_table(f"it has {len(online)} features; at most {ONLINE_COLUMNS} can be online")
    for bound, chosen, what in ((ROW_BYTES, online, "row"), (KEY_BYTES, keys, "primary key")):
        size = sum(online_bytes(feature.online_type or "") for feature in chosen)
        if size > bound:
            raise _no_table(f"its {what} would take {size} bytes; at most {bound} are allowed")


def online_bytes(online_type: str) -> int:
    """How many bytes the server reckons a value of the MySQL type takes."""
    kind = online_type.lower()
    sized = _SIZED.fullmatch(kind)
    if sized:
        return int(int(sized.group(2)) * _FACTORS[sized.group(1)])
    if kind in ("text", "blob"):
        return 256
    return _BYTES.get(kind, 8)


def _no_table(why: str) -> Refused:
    return Refused(400, 270176, "Could not create online feature group", why)
