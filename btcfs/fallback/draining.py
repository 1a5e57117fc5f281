"""The completion of the journal that reads begin, in a thread of its own."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from threading import Thread

from btcfs.errors import BtcfsError
from btcfs.fallback.journal import OPEN, REFUSED, Journal
from btcfs.fallback.primary import Primary

_log = logging.getLogger(__name__)

PAUSE = 0.5  # seconds at least between two completions


class Drain:
    """Completes a journal now and then, if something waits in it; readers do not wait for it."""

    def __init__(self, journal: Journal, primary: Primary, complete: Callable[[], None]) -> None:
        self._journal = journal
        self._primary = primary
        self._complete = complete
        self._thread: Thread | None = None
        self._next = 0.0

    def begin(self) -> None:
        """Complete the journal, unless nothing waits, the primary is away, or it was tried just now."""
        at = time.monotonic()
        if at < self._next or not any(entry.state not in (OPEN, REFUSED) for entry in self._journal.entries()):
            return
        if self._primary.breakers["writes"].state == "open" or (self._thread is not None and self._thread.is_alive()):
            return
        self._next = at + PAUSE
        self._thread = Thread(target=self._run, name="btcfs-journal", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._complete()
        except BtcfsError as exc:
            _log.info("the journal is not completed yet: %s", exc)
