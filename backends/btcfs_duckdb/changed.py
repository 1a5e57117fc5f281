"""Telling whether anything changed since somebody looked, at the cost of one row read."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence

import attrs

from btcfs_duckdb import online
from btcfs_duckdb.readers import Generation, Mark, Readers

Ref = tuple[str, int]


@attrs.frozen(eq=False)
class _Seen:
    """The number of each group's last change, as it was when the file as a whole was at ``seq``."""

    generation: Generation
    seq: int
    groups: Mapping[Ref, int]


class Changed:
    """The last change of each group, asked for again only when the file as a whole has changed."""

    def __init__(self, readers: Readers) -> None:
        self._readers = readers
        self._seen: _Seen | None = None

    def token(self, groups: Sequence[Ref]) -> tuple[Mark | int, ...]:
        """A value that differs after any change of these groups, their rows or the views over them, whoever made it."""
        connection, generation = self._readers.take()
        try:
            seq = connection.execute("SELECT seq FROM meta").fetchone()[0]
            seen = self._seen
            if seen is None or seen.seq != seq or seen.generation is not generation:
                # Asked after the number of the file: a commit in between makes this look older than it is, never newer.
                rows = connection.execute("SELECT name, version, seq FROM touched").fetchall()
                seen = self._seen = _Seen(generation, seq, {(name, version): last for name, version, last in rows})
        except sqlite3.DatabaseError as exc:
            raise online.ours(generation.path, exc) from exc
        finally:
            self._readers.give(connection, generation)
        return (generation.mark, *[seen.groups.get(ref, 0) for ref in groups])
