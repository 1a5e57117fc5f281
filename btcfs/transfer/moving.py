"""The work of a copy: commit by commit and piece by piece read, written, read back, compared and noted.

Three pieces are under way at a time: one is read from the source while the one before it is written, and the one
before that is read back. They are noted in order, so that what a stopped copy did not note is two pieces at most.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import attrs
import pandas as pd

from btcfs.ahead import ahead
from btcfs.definitions import FeatureGroup, FeatureView
from btcfs.errors import CheckFailed, StoreUnavailable
from btcfs.store import Commit, FeatureStore
from btcfs.transfer.digests import Digest, digest, found_digest
from btcfs.transfer.journal import Journal
from btcfs.transfer.pieces import Piece, pieces
from btcfs.transfer.plan import CopyPlan
from btcfs.transfer.standing import label, unequal

ROUNDS = 5  # how often a source that changes is followed before that is said instead

Range = tuple[int | None, int | None]


@attrs.define
class GroupCopy:
    """What was done for one group.

    ``rows`` were read, written and found equal where they then were, as were ``hashes``, one per column and day;
    ``skipped`` commits or pieces were there already; ``followed`` rows came to the source meanwhile.
    """

    name: str
    version: int
    commits: int = 0
    pieces: int = 0
    rows: int = 0
    hashes: int = 0
    skipped: int = 0
    followed: int = 0

    def to_dict(self) -> dict[str, Any]:
        return attrs.asdict(self)


@attrs.frozen
class Step:
    """A piece of a commit, or of the newest state; ``wanted`` is the digest of its rows in the source.

    None where it is in the target already. ``rows`` are there until they are written, ``found`` is the digest of
    what the target then gave back.
    """

    commit: Commit | None
    piece: Piece
    last: bool
    rows: pd.DataFrame | None = None
    wanted: Digest | None = None
    found: Digest | None = None


class Moving:
    """One copy under way; ``done`` tells what it did by group, ``notes`` what a reader must know."""

    def __init__(
        self, source: FeatureStore, target: FeatureStore, plan: CopyPlan, journal: Journal, size: int,
        pool: ThreadPoolExecutor, progress: Callable[[int], None],
    ) -> None:  # fmt: skip
        self.done: dict[str, GroupCopy] = {}
        self.notes = list(plan.notes)
        self._source = source
        self._target = target
        self._plan = plan
        self._journal = journal
        self._size = size
        self._pool = pool
        self._progress = progress
        self._as_of = plan.as_of
        self._restless = False
        self._cuts: dict[tuple[str, str | None], list[Piece]] = {}
        self._there: dict[tuple[str, str | None], set[Range]] = defaultdict(set)
        for record in journal.of("cut"):
            self._cuts[record["group"], record["commit"]] = [Piece(*piece) for piece in record["pieces"]]
        for record in journal.of("piece"):
            self._there[record["group"], record["commit"]].add((record["start"], record["end"]))

    def run(self, *, everything: bool) -> None:
        """Copy what the plan says, follow the source, and check the outcome; ``everything`` if no group was left out."""
        with self._resumable():
            for definition in self._plan.definitions:
                if isinstance(definition, FeatureGroup):
                    self._target.apply(definition)
            if self._as_of is not None:
                self._journal.add("as_of", instant=self._as_of.isoformat())
            for each in self._plan.groups:
                done = self.done[label(each.group)] = GroupCopy(*each.group.ref)
                if self._plan.history:
                    done.skipped = len(each.standing.done)
                    self._history(each.group, set(each.standing.done), done)
                else:
                    self._newest(each.group, done)
            self._follow()
            for definition in self._plan.definitions:
                if isinstance(definition, FeatureView):
                    self._target.apply(definition)
            self._look_back(everything=everything)
            self._journal.add("finished")

    def _history(self, group: FeatureGroup, there: set[Commit], done: GroupCopy) -> None:
        """Copy the commits that are not yet there, oldest first, each in pieces."""
        commits = [c for c in self._source.commits(group) if c not in there and c.rows != 0]

        def steps() -> Iterator[Callable[[], Step]]:
            for commit in commits:
                cut = self._cut(group, commit)
                for number, piece in enumerate(cut, start=1):
                    yield self._reading(group, commit, piece, number == len(cut))

        count = 0
        for step in self._moved(group, steps()):
            assert step.commit is not None
            count += step.piece.rows if step.wanted is None else step.wanted.count
            self._note(group, step, done)
            if step.last:
                self._journal.add("commit" if count else "empty", group=label(group), commit=step.commit.id)
                done.commits += count > 0
                count = 0

    def _newest(self, group: FeatureGroup, done: GroupCopy) -> None:
        """Copy the newest state, or that of the instant which this copy is of."""
        self._journal.add("begun", group=label(group))
        cut = self._cut(group, None)
        for step in self._moved(group, (self._reading(group, None, piece, False) for piece in cut)):
            self._note(group, step, done)

    def _cut(self, group: FeatureGroup, commit: Commit | None) -> list[Piece]:
        """The pieces of a commit or of the newest state; found once, so that a copy that goes on has the same."""
        if commit is not None and commit.rows is not None and commit.rows <= self._size:
            return [Piece(rows=commit.rows)]
        name = self._name(commit)
        cut = self._cuts.get((label(group), name))
        if cut is None:
            cut = self._cuts[label(group), name] = pieces(self._source, group, self._size)
            if len(cut) > 1:
                self._journal.add("cut", group=label(group), commit=name, pieces=[piece.to_list() for piece in cut])
        return cut

    def _name(self, commit: Commit | None) -> str | None:
        """What the journal calls a commit, or the state that a copy without history is of."""
        if commit is not None:
            return commit.id
        return None if self._as_of is None else self._as_of.isoformat()

    def _reading(self, group: FeatureGroup, commit: Commit | None, piece: Piece, last: bool) -> Callable[[], Step]:
        there = (piece.start, piece.end) in self._there[label(group), self._name(commit)]

        def read() -> Step:
            if there:
                return Step(commit, piece, last)
            if commit is None:
                rows = self._source.read(group, *piece.range, as_of=self._as_of)
            else:
                rows = self._source.changes(group, commit, *piece.range)
            return Step(commit, piece, last, rows, digest(group, rows))

        return read

    def _moved(self, group: FeatureGroup, calls: Iterable[Callable[[], Step]]) -> Iterator[Step]:
        """The steps that these calls read, in order, each written and read back."""
        steps = ahead(self._pool, calls)
        return ahead(self._pool, (self._written(group, step) for step in steps))

    def _written(self, group: FeatureGroup, step: Step) -> Callable[[], Step]:
        """Write a step's rows; gives what reads them back."""
        rows, wanted = step.rows, step.wanted
        if rows is None or wanted is None or (not len(rows) and step.commit is not None):
            return lambda: attrs.evolve(step, found=step.wanted)
        commit = None if step.commit is None else Commit(step.commit.id, step.commit.committed_at)
        self._target.write(group, rows, commit=commit)
        bare = attrs.evolve(step, rows=None)

        def read_back() -> Step:
            found = found_digest(self._target, group, commit, step.piece.range, rows, wanted)
            return attrs.evolve(bare, found=found)

        return read_back

    def _note(self, group: FeatureGroup, step: Step, done: GroupCopy) -> None:
        """Note a step that was written and read back. CheckFailed if the rows are not the same."""
        piece, wanted, found = step.piece, step.wanted, step.found
        if wanted is None or found is None:
            done.skipped += 1
            return
        problem = unequal(group, wanted, found)
        if problem:
            raise CheckFailed(
                f"what {self._target.name} gives back is not what was written to it: {problem}. The copy stopped"
            )
        self._there[label(group), self._name(step.commit)].add((piece.start, piece.end))
        if step.commit is None or (piece.start, piece.end) != (None, None):
            self._journal.add(
                "piece", group=label(group), commit=self._name(step.commit), start=piece.start, end=piece.end,
                rows=wanted.count, digest=wanted.hex(),
            )  # fmt: skip
        done.pieces += 1
        done.rows += wanted.count
        done.hashes += wanted.hashes.size
        self._progress(wanted.count)

    def _follow(self) -> None:
        """Copy what the source got meanwhile, several times if need be; then say that it still changes."""
        for _ in range(ROUNDS):
            before = sum(done.rows for done in self.done.values())
            self._move_on()
            for each in self._plan.groups:
                done = self.done[label(each.group)]
                rows = done.rows
                self._follow_group(each.group, done)
                done.followed += done.rows - rows
            if sum(done.rows for done in self.done.values()) == before:
                return
        self._restless = True
        self.notes.append(f"{self._source.name} changed all the while; run the same again for what came last")

    def _follow_group(self, group: FeatureGroup, done: GroupCopy) -> None:
        if self._plan.history:
            there = set(self._target.commits(group))
            empty = {record["commit"] for record in self._journal.of("empty", group=label(group))}
            if any(c not in there and c.id not in empty for c in self._source.commits(group) if c.rows != 0):
                self._history(group, there, done)
        elif self._as_of is None:
            self._again(group, done)
        else:
            self._newest(group, done)  # of the later instant, if there is one; else every piece is there

    def _move_on(self) -> None:
        """Let a copy of one instant be of a later one, if the source has commits after it."""
        if self._as_of is None:
            return
        newest = [c.committed_at for each in self._plan.groups for c in self._source.commits(each.group)[-1:]]
        if max(newest, default=self._as_of) > self._as_of:
            self._as_of = max(newest)
            self._journal.add("as_of", instant=self._as_of.isoformat())

    def _again(self, group: FeatureGroup, done: GroupCopy) -> None:
        """Without knowledge time only reading the source again shows whether it is still what was copied."""
        known = {(r["start"], r["end"]): r["digest"] for r in self._journal.of("piece", group=label(group))}
        for start, end in list(known):
            piece = Piece(start, end)
            rows = self._source.read(group, *piece.range)
            found = digest(group, rows)
            if found.hex() != known[start, end]:
                self._note(group, self._written(group, Step(None, piece, False, rows, found))(), done)

    def _look_back(self, *, everything: bool) -> None:
        """CheckFailed if the target does not hold as many rows as the source, or the source was redefined meanwhile."""
        now = {d.ref: d for d in self._source.definitions() if isinstance(d, FeatureGroup)}
        for each in self._plan.groups:
            group = each.group
            if group.ref not in now or now[group.ref].fingerprint != group.fingerprint:
                raise CheckFailed(f"{group.title} was deleted or redefined in {self._source.name} while it was copied")
            theirs, ours = self._target.summary(group).rows, self._source.summary(group).rows
            if theirs != ours and not self._restless:
                raise CheckFailed(
                    f"{self._target.name} has {theirs:,} rows of {group.title}, {self._source.name} has {ours:,}; "
                    f"btcfs diff shows which differ"
                )
        missing = [group.title for ref, group in now.items() if everything and f"{ref[0]}:{ref[1]}" not in self.done]
        self.notes += [f"{title} came to {self._source.name} meanwhile; run the same again for it" for title in missing]

    @contextmanager
    def _resumable(self) -> Iterator[None]:
        """Say, when a store fails half way, that and how the copy goes on."""
        try:
            yield
        except StoreUnavailable as exc:
            rows = sum(done.rows for done in self.done.values())
            kept = self._journal.path
            raise StoreUnavailable(
                f"{exc}. The copy stopped after {rows:,} rows; both stores are whole. The same command goes on "
                f"{'from there' if kept else 'by comparing first, for it had no journal'}"
            ) from exc
