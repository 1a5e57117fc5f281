"""What the prediction log has not written yet, in files on the local disk that outlive the server and go to the next one."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Sequence
from pathlib import Path

from btcfs import durable
from btcfs.errors import StoreBusy
from btcfs.serving.spool_file import Piece, SpoolFile, framed, rows_of, unframed

_FORMAT = b"btcfs predictions 1 of "

_log = logging.getLogger(__name__)


class PredictionSpool:
    """A folder with a file for each server, which holds its lock; the files of servers that are gone are taken over.

    Each file names the store that it is for; those for other stores are left alone. A disk that refuses is told in
    ``error``, and what waits is in memory alone until it can be written to again.
    """

    def __init__(self, folder: Path, store: str) -> None:
        self.folder = folder.absolute()
        self.error: str | None = None
        self.torn = 0  # files whose end was cut off
        self.rows = 0  # predictions on the disk
        self._pieces = 0
        self._head = _FORMAT + store.encode() + b"\n"
        self._own: SpoolFile | None = None
        self._others: list[SpoolFile] = []  # held too, and not written to any more

    def take(self, room: int) -> list[Piece]:
        """The pieces that servers which are gone left for this store, oldest first; their files are held from now on.

        A file is taken whole, and none any more once there are as many predictions as there is ``room`` for.
        """
        found: list[Piece] = []
        for path in sorted(self.folder.glob("*.spool")):
            if self.rows >= room:
                _log.warning("the prediction log is full; %s waits for the next server that starts", path)
                break
            try:
                pieces = self._taken_over(path)
            except OSError as exc:
                self._refused(exc)
                continue
            self._count(pieces)
            found += pieces
        return found

    def keep(self, pieces: Sequence[Piece]) -> bool:
        """Whether these are on the disk now, in the server's own file, which is made if there is none."""
        try:
            if self._own is None:
                self._own = self._new()
            self._own.append(framed(pieces))
        except OSError as exc:
            # Whatever is at the end of the file now, nothing is to come after it.
            self._others, self._own = self._held(), None
            return self._refused(exc)
        self._count(pieces)
        self.error = None
        return True

    def renew(self, pieces: Sequence[Piece]) -> None:
        """Go on to keep these, and no others."""
        if len(pieces) == self._pieces:
            return
        done = self._held()
        try:
            self._own, self._others = self._new(framed(pieces)) if pieces else None, []
            self._pieces, self.rows = len(pieces), rows_of(pieces)
            for file in done:
                file.release(remove=True)
            self.error = None
        except OSError as exc:  # then some may be written twice, which changes nothing
            self._refused(exc)

    def close(self) -> None:
        """Leave the files to the next server, but for those in which nothing waits."""
        try:
            for file in self._held():
                file.release(remove=file.size == len(self._head))
        except OSError as exc:
            self._refused(exc)
        self._own, self._others, self._pieces, self.rows = None, [], 0, 0

    def _held(self) -> list[SpoolFile]:
        return self._others if self._own is None else [*self._others, self._own]

    def _count(self, pieces: Sequence[Piece]) -> None:
        self._pieces += len(pieces)
        self.rows += rows_of(pieces)

    def _refused(self, exc: OSError) -> bool:
        said = (
            f"StoreUnavailable: cannot keep predictions in {self.folder}: {exc}; a server that is killed loses those that "
            f"wait. Make room there, let this user write there, or name another folder with --spool"
        )
        if said != self.error:
            _log.warning("%s", said)
        self.error = said
        return False

    def _new(self, content: bytes = b"") -> SpoolFile:
        self.folder.mkdir(parents=True, exist_ok=True)
        file = SpoolFile(self.folder / f"{time.time_ns():020d}-{os.getpid()}.spool")
        try:
            file.append(self._head + content)
            durable.sync_folder(self.folder)
        except OSError:
            file.release(remove=True)
            raise
        return file

    def _taken_over(self, path: Path) -> list[Piece]:
        """The pieces in a file, which is held then; none if its server lives, or it is another store's."""
        try:
            file = SpoolFile(path)
        except StoreBusy:
            return []
        content = file.content()
        if not content.startswith(self._head) and not self._head.startswith(content):
            _log.warning("%s is left alone: it begins with %r, not with %r", path, content[:80], self._head)
            file.release(remove=False)
            return []
        pieces, whole = unframed(content, len(self._head))
        if whole < len(content):
            self.torn += 1
            _log.warning("the last %d bytes of %s were torn by a crash and are cut off", len(content) - whole, path)
            file.cut(whole)
        if not pieces:
            file.release(remove=True)
            return []
        self._others.append(file)
        return pieces
