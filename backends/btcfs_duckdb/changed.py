"""Telling whether anything changed since somebody looked, mostly without asking the online file."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path
from time import monotonic

import attrs

from btcfs_duckdb import online
from btcfs_duckdb.counter import Counter
from btcfs_duckdb.readers import Generation, Readers

Ref = tuple[str, int]

TRUSTED_SECONDS = 0.2  # then the file is asked all the same: somebody may have put another store in this place


@attrs.frozen(eq=False)
class _Seen:
    """The number of each group's last change, as it was when the counter stood at ``number``, None if it was odd."""

    generation: Generation
    groups: Mapping[Ref, int]
    number: int | None
    until: float


class Changed:
    """The last change of each group, asked for again only when something was committed."""

    def __init__(self, readers: Readers, root: Path) -> None:
        self._readers = readers
        self._counter = Counter(root)
        self._seen: _Seen | None = None

    def token(self, groups: Sequence[Ref]) -> tuple[object, ...]:
        """A value that differs after any change of these groups, their rows or the views over them, whoever made it."""
        seen = self._seen
        if seen is None or seen.number is None or seen.number != self._counter.quiet() or monotonic() > seen.until:
            seen = self._asked()
        known = seen.groups
        return (seen.generation.mark, *[known.get(ref, 0) for ref in groups])

    def _asked(self) -> _Seen:
        self._counter.renew()
        # Read before the groups: a commit in between makes this look older than it is, never newer.
        number = self._counter.quiet()
        connection, generation = self._readers.take()
        try:
            rows = connection.execute("SELECT name, version, seq FROM touched").fetchall()
        except sqlite3.DatabaseError as exc:
            raise online.ours(generation.path, exc) from exc
        finally:
            self._readers.give(connection, generation)
        known = {(name, version): seq for name, version, seq in rows}
        seen = self._seen = _Seen(generation, known, number, monotonic() + TRUSTED_SECONDS)
        return seen
