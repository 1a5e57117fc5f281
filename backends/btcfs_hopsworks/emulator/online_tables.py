"""What an online store of the emulator does: one row per primary key, read by clients over the MySQL protocol."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from btcfs_hopsworks.emulator.metadata import Feature, Group
from btcfs_hopsworks.emulator.online_values import Value

Row = tuple[Value, ...]


class OnlineTables(Protocol):
    """The tables of all projects; ``database`` is ``Project.online_database``.

    Rows have the values of ``group.online_features``, in that order; keys those of ``group.primary_key``.
    """

    def create(self, database: str, group: Group) -> None:
        """Makes the table of a group; nothing if it is there."""
        ...

    def add_columns(self, database: str, group: Group, added: Sequence[Feature]) -> None: ...

    def drop(self, database: str, group: Group) -> None: ...

    def clear(self, database: str, group: Group) -> None: ...

    def upsert(self, database: str, group: Group, rows: Sequence[Row], *, if_newer: bool = False) -> int:
        """Writes rows in order, and returns how many took effect.

        With ``if_newer`` a row older in event time than the one it would replace has no effect.
        """
        ...

    def delete(self, database: str, group: Group, keys: Sequence[Row]) -> int:
        """Deletes rows by primary key, and returns how many keys were given."""
        ...

    def read(self, database: str, group: Group, keys: Sequence[Row]) -> list[Row | None]:
        """The row of each key, in the order asked; None where there is none."""
        ...

    def close(self) -> None: ...


def quoted(name: str) -> str:
    """A name as MySQL and SQLite both read it."""
    return "`" + name.replace("`", "``") + "`"


def qualified(database: str, group: Group) -> str:
    """The full name of a group's online table."""
    return f"{quoted(database)}.{quoted(group.table)}"
