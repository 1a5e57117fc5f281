"""How far a copy of one group has come, judged by what both stores hold; and what refuses it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

import attrs
import pandas as pd

from btcfs.definitions import FeatureGroup
from btcfs.errors import CheckFailed
from btcfs.store import Commit, FeatureStore
from btcfs.transfer.comparing import align, equal_values, key_of, plain
from btcfs.transfer.digests import Digest, digest, found_digest
from btcfs.transfer.journal import Journal
from btcfs.transfer.pieces import Piece, pieces

Read = Callable[[Piece], pd.DataFrame]


@attrs.frozen
class Standing:
    """``done`` commits need nothing more, and ``started`` is the one that may be there in part.

    ``begun`` says that the target holds rows of this copy.
    """

    done: tuple[Commit, ...] = ()
    started: Commit | None = None
    begun: bool = False


def label(group: FeatureGroup) -> str:
    """The group's name in a journal."""
    return f"{group.name}:{group.version}"


def with_history(source: FeatureStore, target: FeatureStore, group: FeatureGroup, journal: Journal) -> Standing:
    """The standing of a copy commit by commit.

    What the journal has as verified is believed; every other commit of the target is compared with
    the source's. CheckFailed if one is not there, or differs: then the target has other data.
    """
    theirs = list(target.commits(group))
    stranger = _stranger(source, group, theirs, journal)
    if stranger is not None:
        at = stranger.committed_at.isoformat()
        raise _other(target, group, f"the commit {stranger.id} of {at}, which the source has not in that place")
    verified = {str(record["commit"]) for record in journal.of("commit", group=label(group))}
    lost = verified - {commit.id for commit in theirs}
    if lost:
        raise CheckFailed(
            f"{target.name}: {group.title} lacks the commit {min(lost)}, which the journal {journal.path} has as copied; "
            f"the target is not the one that was written. Delete the journal to copy anew"
        )
    for number, commit in enumerate(theirs):
        if commit.id in verified:
            continue
        last = number == len(theirs) - 1
        if last and journal.of("piece", group=label(group), commit=commit.id):
            return Standing(tuple(theirs[:-1]), commit, True)
        if _compared(source, target, group, commit, last):
            journal.add("commit", group=label(group), commit=commit.id)
        else:
            return Standing(tuple(theirs[:-1]), commit, True)
    return Standing(tuple(theirs), None, bool(theirs))


def without_history(
    source: FeatureStore, target: FeatureStore, group: FeatureGroup, journal: Journal, as_of: datetime | None
) -> Standing:
    """The standing of a copy of the newest state. CheckFailed if the target has rows that are not the source's."""
    if journal.of("begun", group=label(group)):
        return Standing(begun=True)
    if target.summary(group).rows == 0:
        return Standing()
    for piece in pieces(target, group):
        problem = _beyond(group, target.read(group, *piece.range), source.read(group, *piece.range, as_of=as_of))
        if problem:
            raise _other(target, group, problem)
    return Standing(begun=True)


def unequal(group: FeatureGroup, expected: Digest, found: Digest) -> str | None:
    """What separates two digests, in words, None if nothing does."""
    if expected.hex() == found.hex():
        return None
    day, rows, column = next(found.unlike(expected))
    what = f"has {abs(rows)} rows {'more' if rows > 0 else 'less'}" if rows else f"differs in {column}"
    return f"{group.title} {what} on {day}"


def _compared(source: FeatureStore, target: FeatureStore, group: FeatureGroup, commit: Commit, last: bool) -> bool:
    """Whether the commit is whole in the target; the newest may be there in part. CheckFailed if it differs."""
    whole = True
    for piece in pieces(source, group):
        ours = source.changes(group, commit, *piece.range)
        wanted = digest(group, ours)
        if found_digest(target, group, commit, piece.range, ours, wanted).hex() == wanted.hex():
            continue
        whole = False
        theirs = target.changes(group, commit, *piece.range)
        problem = _beyond(group, theirs, ours)
        if problem or not last:
            raise _other(target, group, f"in commit {commit.id}, {problem or 'where rows are missing'}")
    return whole


def _beyond(group: FeatureGroup, theirs: pd.DataFrame, ours: pd.DataFrame) -> str | None:
    """What the target's rows hold that is not the source's, None if nothing."""
    aligned = align(theirs, ours, group.primary_key)
    if len(aligned.only_a):
        return f"a row {key_of(theirs, int(aligned.only_a[0]), group.primary_key)} which the source has not"
    for name in (group.event_time, *group.feature_names):
        one, other = theirs[name].iloc[aligned.a], ours[name].iloc[aligned.b]
        wrong = ~equal_values(one.reset_index(drop=True), other.reset_index(drop=True))
        if wrong.any():
            at = int(wrong.argmax())
            key = key_of(theirs, int(aligned.a[at]), group.primary_key)
            return f"{name} is {plain(one.iloc[at])} at {key}, in the source {plain(other.iloc[at])}"
    return None


def _stranger(source: FeatureStore, group: FeatureGroup, theirs: Sequence[Commit], journal: Journal) -> Commit | None:
    """The first of the target's commits that is not the source's next one, None if there is none.

    Commits of the source that changed no row do not count, for they cannot be written.
    """
    empty = {record["commit"] for record in journal.of("empty", group=label(group))}
    ours = iter([commit for commit in source.commits(group) if commit.rows != 0 and commit.id not in empty])
    for commit in theirs:
        for own in ours:
            if own == commit:
                break
            if own.rows is not None or len(source.changes(group, own)):
                return commit
            journal.add("empty", group=label(group), commit=own.id)
        else:
            return commit
    return None


def _other(target: FeatureStore, group: FeatureGroup, what: str) -> CheckFailed:
    return CheckFailed(
        f"{target.name} already holds other data in {group.title}: {what}. Nothing was written; copy to an empty "
        f"store, or choose other groups with --group. btcfs diff shows all differences"
    )
