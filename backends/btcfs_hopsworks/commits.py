"""One write to a group of Hopsworks: nothing of it counts until the catalogue says so, in the last step."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from typing import Any

import attrs
import numpy as np
import pandas as pd

from btcfs import catalogue, frames
from btcfs.definitions import FeatureGroup
from btcfs.errors import BtcfsError, StoreUnavailable
from btcfs.instants import from_micros, to_micros
from btcfs.store import Commit, WriteReport
from btcfs_hopsworks import columns, staging
from btcfs_hopsworks.gateway import groups
from btcfs_hopsworks.gateway.session import Session
from btcfs_hopsworks.history import Asked, Logs
from btcfs_hopsworks.ledger import Head, Ledger, Snapshot, entry_of
from btcfs_hopsworks.staging import Staged

logger = logging.getLogger(__name__)


@attrs.define(eq=False)
class Writer:
    """Writes, one at a time; the caller holds the turn.

    ``failed`` has the writes of this process that did not come to their end: their rows may still
    arrive, and never count.
    """

    session: Session
    ledger: Ledger
    logs: Logs
    failed: dict[tuple[str, int], set[int]] = attrs.field(factory=dict)

    def write(
        self, group: FeatureGroup, rows: pd.DataFrame | Iterable[pd.DataFrame], given: Commit | None
    ) -> WriteReport:
        """As ``FeatureStore.write``. StoreUnavailable if it did not come to its end; then nothing of it is visible."""
        snapshot = self.ledger.refresh()
        catalogue.same(snapshot.definitions, group)
        head = snapshot.head(group)
        if given is not None:
            catalogue.check_commit(group, _newest_commit(head), given)
        staged = staging.gathered(group, rows)
        if not len(staged):
            return WriteReport(*group.ref, inserted=0, updated=0, unchanged=0)
        stored = self._stored(group, head, staged)
        new, other = staging.compared(group, staged, stored)
        report = _report(group, staged, new, other)
        if not report.changed:
            return report
        return self._commit(snapshot, head, group, staged, stored, new, other, report, given)

    def _stored(self, group: FeatureGroup, head: Head, staged: Staged) -> Staged:
        """What is stored under these keys; where event times may move, all that is stored of their entities."""
        nothing = staging.staged_of(group, frames.empty(group))
        if head.rows == 0 or not staging.may_overlap(head.spans, staged):
            return nothing
        digests = set(staged.digests)
        entity = dict(zip(group.entity, columns.entities(group, staged.frame.iloc[:1])[0], strict=True))
        asked = Asked(
            entity=entity if len(digests) == 1 else {},
            times=None if head.spans is None else (int(staged.times.min()), int(staged.times.max())),
        )
        frame = self.logs.frame(group, head, asked, group.columns)
        return staging.staged_of(group, frame) if len(frame) else nothing

    def _commit(
        self,
        snapshot: Snapshot,
        head: Head,
        group: FeatureGroup,
        staged: Staged,
        stored: Staged,
        new: Any,
        other: Any,
        report: WriteReport,
        given: Commit | None,
    ) -> WriteReport:
        write = self.ledger.stamp()
        commit = write if given is None else to_micros(given.committed_at)
        commit_id = f"{commit:020d}" if given is None else given.id
        changed = staged.take(new | other)
        try:
            orphans = self._carried(group, head, changed, stored, write, commit, commit_id)
        except BaseException as exc:  # whatever stopped it, rows of this write may have arrived
            self.failed.setdefault(group.ref, set()).add(write)
            self.logs.forget(group)
            if isinstance(exc, BtcfsError):
                logger.warning("%s: a write of %d rows did not come to its end: %s", group.title, len(changed), exc)
            raise
        after = attrs.evolve(
            head,
            write=write,
            commit=commit,
            commit_id=commit_id,
            rows=head.rows + report.inserted,
            aborted=tuple(sorted({*head.aborted, *orphans, *self.failed.get(group.ref, ())})),
            spans=staging.widened(head.spans, staged.take(new)),
        )
        record = snapshot.records[entry_of(group)]
        try:
            self.ledger.put([attrs.evolve(record, changed=write, head=after)])
        except BtcfsError as exc:
            raise StoreUnavailable(
                f"{group.title}: whether the {report.changed} rows were committed is not known, for the catalogue did not "
                f"answer. Write the same again: what is there is left alone. {exc}"
            ) from exc
        return attrs.evolve(report, commit_id=commit_id, committed_at=from_micros(commit))

    def _carried(
        self, group: FeatureGroup, head: Head, changed: Staged, stored: Staged, write: int, commit: int, commit_id: str
    ) -> set[int]:
        """Bring the rows to both stores and see that they are there; the writes found that came to no end."""
        until = time.monotonic() + self.session.address.write_timeout
        handle = self.logs.handle(group, head)
        log = columns.stamped(group, changed.frame, changed.digests, write, commit, commit_id)
        groups.produce_offline(self.session, handle, log, _left(until))
        job = groups.start_materialisation(self.session, handle, _left(until))
        self._serve(group, head, handle, changed, stored, log, until)
        groups.wait_for_materialisation(self.session, handle, job, _left(until))
        return self._verified(group, head, write, len(log))

    def _serve(
        self,
        group: FeatureGroup,
        head: Head,
        handle: Any,
        changed: Staged,
        stored: Staged,
        log: pd.DataFrame,
        until: float,
    ) -> None:
        newest = staging.newest(staging.overlaid(stored, changed) if head.spans is None else changed)
        if head.spans is not None:
            spans = head.spans
            last = np.array(
                [d not in spans or e >= spans[d][2] for d, e in zip(newest.digests, newest.events, strict=True)]
            )
            newest = newest.take(last)
        else:
            newest = newest.take(np.isin(newest.digests, changed.digests))
        write, commit, commit_id = (log[name].iloc[0] for name in (columns.WRITE, columns.COMMIT, columns.COMMIT_ID))
        parts = []
        if group.has_time_key:
            keys = [columns.row_key(d, t) for d, t in zip(changed.digests, changed.times.tolist(), strict=True)]
            parts.append(columns.online(group, log, keys))
        if len(newest):
            rows = columns.stamped(group, newest.frame, newest.digests, int(write), int(commit), commit_id)
            parts.append(columns.online(group, rows, [columns.row_key(d, None) for d in newest.digests]))
        frame = pd.concat(parts, ignore_index=True) if len(parts) > 1 else parts[0]
        groups.upsert_online(self.session, handle, frame, _left(until))

    def _verified(self, group: FeatureGroup, head: Head, write: int, count: int) -> set[int]:
        found = self.logs.stamps(group, head, head.write)
        mine = int((found == write).sum())
        if mine != count:
            raise StoreUnavailable(
                f"{group.title}: the materialisation ended well, but the offline table has {mine} of {count} rows written; "
                f"nothing of them counts. Look at the job's log in Hopsworks, and write them again"
            )
        return set(np.unique(found).tolist()) - {write}


def _left(until: float) -> float:
    left = until - time.monotonic()
    if left <= 0:
        raise StoreUnavailable(
            "the write took longer than write_timeout; nothing of it counts. Raise it, or write fewer rows"
        )
    return left


def _newest_commit(head: Head) -> Commit | None:
    return Commit(head.commit_id, from_micros(head.commit)) if head.rows else None


def _report(group: FeatureGroup, staged: Staged, new: Any, other: Any) -> WriteReport:
    inserted, updated = int(new.sum()), int(other.sum())
    return WriteReport(
        *group.ref,
        inserted=inserted,
        updated=updated,
        unchanged=len(staged) - inserted - updated,
        start=from_micros(int(staged.events.min())),
        end=from_micros(int(staged.events.max())),
    )
