"""The predictions that wait to be logged: encoded, in pieces of memory, the oldest first, and which of them the disk has."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from itertools import islice
from threading import Lock

from btcfs.serving.prediction_rows import FEW, Logged, encoded
from btcfs.serving.spool_file import Piece, rows_of

_CHUNK = 262_144  # bytes encoded into one piece of memory


class PredictionQueue:
    """At most ``capacity`` predictions, for one that adds and several threads that take.

    They are encoded a few at a time, so that little of a request lives on with them. The pieces on the disk are the oldest.
    """

    def __init__(self, capacity: int) -> None:
        self.waiting = 0
        self.refused = 0  # for which there was no room
        self._capacity = capacity
        self._guard = Lock()
        self._fresh: list[Logged] = []  # not encoded yet
        self._count = 0  # encoded in the piece that is being filled
        self._filling = bytearray()
        self._full: deque[Piece] = deque()
        self._cuts = 0  # pieces that were ever full; those of them that wait are the last
        self._kept = 0  # of these, up to which the disk has them

    def add(self, prediction: Logged) -> None:
        """Take a prediction, or refuse and count it if there is no room."""
        with self._guard:
            if self.waiting >= self._capacity:
                self.refused += 1
                return
            self.waiting += 1
            self._fresh.append(prediction)
            if len(self._fresh) == FEW:
                self._encode()
                if len(self._filling) > _CHUNK:
                    self._cut()

    def first(self, most: int) -> list[Piece]:
        """The oldest pieces, with so many predictions and a few more if there are; they stay in the queue."""
        with self._guard:
            self._cut()
            chosen, rows = [], 0
            for piece in self._full:
                chosen.append(piece)
                rows += piece[0]
                if rows >= most:
                    break
            return chosen

    def done(self, pieces: Sequence[Piece]) -> None:
        """Forget these, which were the first."""
        with self._guard:
            for _ in range(min(len(pieces), len(self._full))):
                self._full.popleft()
            self.waiting = max(0, self.waiting - rows_of(pieces))

    def put_first(self, pieces: Sequence[Piece]) -> None:
        """Put pieces that the disk has before all others, whatever the capacity."""
        with self._guard:
            self._kept = max(self._kept, self._gone)
            self._full.extendleft(reversed(pieces))
            self.waiting += rows_of(pieces)

    def unkept(self) -> tuple[list[Piece], int]:
        """The pieces that the disk does not have, and what to tell ``note_kept`` when it has."""
        with self._guard:
            self._cut()
            newest = islice(reversed(self._full), self._cuts - max(self._kept, self._gone))
            return list(newest)[::-1], self._cuts

    def note_kept(self, until: int) -> None:
        """The disk has everything up to there."""
        self._kept = until

    def kept(self) -> list[Piece]:
        """The pieces that wait and that the disk has."""
        with self._guard:
            return list(islice(self._full, max(0, self._kept - self._gone)))

    def clear(self) -> tuple[int, int]:
        """Forget all; how many of these predictions the disk has, and how many nobody has now."""
        with self._guard:
            self._cut()
            kept = rows_of(list(islice(self._full, max(0, self._kept - self._gone))))
            lost = self.waiting - kept
            self._full.clear()
            self.waiting = 0
            return kept, lost

    @property
    def _gone(self) -> int:
        """How many pieces went before the first that waits."""
        return self._cuts - len(self._full)

    def _cut(self) -> None:
        """Close the piece of memory that is being filled; the guard is held."""
        self._encode()
        if self._count:
            self._full.append((self._count, self._filling))
            self._cuts += 1
            self._filling, self._count = bytearray(), 0

    def _encode(self) -> None:
        self._filling += encoded(self._fresh)
        self._count += len(self._fresh)
        self._fresh.clear()
