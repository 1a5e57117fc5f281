"""From a view and its keys to vectors: the online read path, which loads neither DuckDB nor pandas."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from btcfs.definitions import FeatureView
from btcfs.errors import BtcfsError
from btcfs.store import FeatureVector
from btcfs_duckdb import batches, online
from btcfs_duckdb.commit_counter import CommitCounter
from btcfs_duckdb.plans import Plan, planned
from btcfs_duckdb.readers import Generation, Readers
from btcfs_duckdb.segments import damaged

_TRUSTED = 1.0  # seconds until the pointer is looked at again, lest a store be served whose folder was replaced


@attrs.define(eq=False)
class Known:
    """What was read of a generation. Plans and tokens hold as long as the commit counter shows their number."""

    generation: Generation
    until: float = 0.0
    plans: dict[str, tuple[int, Plan]] = attrs.field(factory=dict)
    tokens: dict[Hashable, tuple[int, Hashable]] = attrs.field(factory=dict)


class Vectors:
    """``get_online_features`` on the online file, with the plan of each view kept as long as it holds."""

    def __init__(self, readers: Readers, counter: CommitCounter, defaults: Mapping[str, str], source: str) -> None:
        self._readers = readers
        self._counter = counter
        self._defaults = defaults
        self._source = source
        self._known: Known | None = None

    def get(self, view: FeatureView, keys: Sequence[Mapping[str, Any]]) -> Sequence[FeatureVector]:
        """One vector per key, all from the same commit. Errors are those of the protocol."""
        if keys:
            found = self._at_once(view, keys)
            if found is not None:
                return found
        try:
            return self._several(view, keys)
        except FileNotFoundError:
            # A segment went after its name was read: its group was deleted, or the generation changed.
            pass
        try:
            return self._several(view, keys)
        except FileNotFoundError as exc:
            raise damaged(Path(exc.filename)) from exc

    def change_token(self, groups: Sequence[tuple[str, int]]) -> Hashable:
        """A value that differs after any commit to one of these groups or any change of a view over them, by any process."""
        key = tuple(groups)
        count = self._counter.read()
        known = self._holding(count)
        if known is not None and known.tokens.get(key, (None,))[0] == count:
            return known.tokens[key][1]
        with self._readers.using() as (connection, generation), online.translated(generation.path):
            token = (generation.mark, online.last_changes(connection, key))
        self._renewed(generation).tokens[key] = count, token
        return token

    def close(self) -> None:
        """Let go of the segments that plans hold open."""
        self._known = None

    def _at_once(self, view: FeatureView, keys: Sequence[Mapping[str, Any]]) -> Sequence[FeatureVector] | None:
        """The vectors by a plan known to hold, without a transaction; None if there is none, or a commit came between."""
        count = self._counter.read()
        known = self._holding(count)
        planned_at, plan = (-1, None) if known is None else known.plans.get(view.fingerprint, (-1, None))
        if known is None or plan is None or planned_at != count or not plan.single:
            return None
        if len(keys) == 1:
            vector = plan.at_hand(keys[0], count, self._source)
            if vector is not None:
                return [vector]
        else:
            several = batches.at_hand(plan, keys, count, self._source)
            if several is not None:
                return several
        connection = self._readers.take_again(known.generation)
        if connection is None:
            return None
        try:
            found = batches.vectors(plan, connection, keys, self._defaults, self._source)
            plan.note(connection, keys, count)
        except (sqlite3.DatabaseError, BtcfsError) as exc:
            if self._counter.read() != count:
                return None
            if isinstance(exc, BtcfsError):
                raise
            raise online.ours(known.generation.path, exc) from exc
        finally:
            self._readers.give(connection, known.generation)
        # Had a commit come in between, rows might be of it and the plan from before.
        return found if self._counter.read() == count else None

    def _several(self, view: FeatureView, keys: Sequence[Mapping[str, Any]]) -> Sequence[FeatureVector]:
        count = self._counter.read()
        connection, generation = self._readers.take()
        try:
            # One read transaction, so that every row comes from the same commit.
            connection.execute("BEGIN")
            try:
                plan = self._plan(connection, generation, view, count)
                return batches.vectors(plan, connection, keys, self._defaults, self._source)
            finally:
                connection.execute("ROLLBACK")
        except sqlite3.DatabaseError as exc:
            raise online.ours(generation.path, exc) from exc
        finally:
            self._readers.give(connection, generation)

    def _plan(self, connection: sqlite3.Connection, generation: Generation, view: FeatureView, count: int) -> Plan:
        epoch = connection.execute("SELECT epoch FROM meta").fetchone()[0]
        known = self._renewed(generation)
        _, plan = known.plans.get(view.fingerprint, (-1, None))
        if plan is None or plan.epoch != epoch:
            plan = planned(connection, generation, view, epoch)
        known.plans[view.fingerprint] = count, plan
        return plan

    def _holding(self, count: int) -> Known | None:
        """What is known, if the counter says something and the pointer was looked at not long ago."""
        known = self._known
        return known if known is not None and not count & 1 and time.monotonic() < known.until else None

    def _renewed(self, generation: Generation) -> Known:
        """What is known of the generation, now that the pointer was looked at."""
        known = self._known
        if known is None or known.generation is not generation:
            known = self._known = Known(generation)
        known.until = time.monotonic() + _TRUSTED
        return known
