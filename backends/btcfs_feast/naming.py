"""What a group, a view and a key column are called in Feast."""

from __future__ import annotations

import hashlib

from btcfs.definitions import Definition, FeatureGroup
from btcfs.errors import DefinitionError

CREATED = "btcfs_created"  # when the row became known; Feast's created_timestamp_column
COMMIT = "btcfs_commit"  # the id of the commit that wrote it
SEQ = "btcfs_seq"  # the number of the write that wrote it, which orders the states of one key
KEY = "btcfs_key"  # the second entity of an online view: which row of the first
PAYLOAD = "payload"
OWN = (CREATED, COMMIT, SEQ)

# Feast's Postgres store names a table after project and view, and Postgres cuts names off at 63 characters.
_LONGEST = 36


def feast_name(definition: Definition) -> str:
    """The Feast FeatureView of a group, or the FeatureService of a view: name and version."""
    name = f"{definition.name}__v{definition.version}"
    if len(name) <= _LONGEST:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:8]
    return f"{definition.name[: _LONGEST - 15]}_{digest}__v{definition.version}"


def online_name(group: FeatureGroup) -> str:
    """The Feast FeatureView that holds a group's rows online."""
    return f"{feast_name(group)}__online"


def refuse_reserved(group: FeatureGroup) -> None:
    """DefinitionError if a column has a name that btcfs needs for itself."""
    taken = [name for name in group.columns if name in (*OWN, KEY)]
    if taken:
        raise DefinitionError(
            f"{group.title} has a column named {', '.join(taken)}, which the Feast backend needs for itself; rename it"
        )
