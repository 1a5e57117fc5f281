"""Every prediction as a row of a feature group, written in batches beside the requests and never in their way."""

from __future__ import annotations

import logging
from collections import deque
from threading import Condition, Lock, Thread
from time import monotonic

from btcfs.errors import BtcfsError
from btcfs.serving.log_process import LogProcess
from btcfs.serving.prediction_rows import PREDICTIONS, Logged, encode_into, joined, written
from btcfs.store import FeatureStore

__all__ = ["PREDICTIONS", "Logged", "PredictionLog"]

CAPACITY = 100_000
BATCH = 10_000
INTERVAL_SECONDS = 2.0
# A write to a store with a month's budget of calls takes some twenty of them, whether it has one row or many.
METERED_SECONDS = 86_400.0
RETRY_SECONDS = 300.0  # until a store with a budget is asked again after it could not be reached
# Rows from which on a batch is written by a process of its own, and seconds without such a batch until it ends.
MANY = 256
IDLE_SECONDS = 30.0
_CHUNK = 262_144  # bytes encoded into one piece of memory

_log = logging.getLogger(__name__)


class PredictionLog:
    """A bounded queue of predictions and the thread that has them written to the store.

    ``add`` never waits: when ``capacity`` predictions are waiting already, it drops this one and
    counts it. A batch that the busy store refuses stays in the queue and is tried again; one that
    it refuses for another reason is dropped and counted, and the reason logged.

    What waits is written every ``interval`` seconds, and before that if it is a whole batch. The default is two seconds, and a
    day for a store that counts its calls against a month's budget.

    What waits is encoded already, so that nothing of a request lives on with it. Writing a large
    batch would take the interpreter away from the requests again and again; so it is done by
    another process (``LogProcess``) where the store can be opened by one.
    """

    def __init__(self, store: FeatureStore, capacity: int = CAPACITY, interval: float | None = None) -> None:
        self.written = 0
        self.dropped = 0
        self.last_error: str | None = None
        self._store = store
        self._capacity = capacity
        self._interval = interval
        self._guard = Lock()
        self._count = 0  # encoded in the piece that is being filled
        self._filling = bytearray()
        self._full: deque[tuple[int, bytearray]] = deque()
        self._waiting = 0
        self._process = LogProcess(store, IDLE_SECONDS)
        self._wake = Condition()
        self._writing = Lock()
        self._stopping = False
        self._thread: Thread | None = None

    @property
    def interval(self) -> float:
        """Seconds from one write to the next."""
        if self._interval is not None:
            return self._interval
        # Asked each time, since a primary store that is away at first shows its budget later.
        return METERED_SECONDS if hasattr(self._store, "usage") else INTERVAL_SECONDS

    @property
    def waiting(self) -> int:
        """Predictions that are not written yet."""
        return self._waiting

    def start(self) -> None:
        """Begin to write. The group is created with the first batch."""
        self._stopping = False
        self._thread = Thread(target=self._work, name="btcfs-prediction-log", daemon=True)
        self._thread.start()

    def add(self, prediction: Logged) -> None:
        """Queue a prediction, or drop it if the queue is full."""
        with self._guard:
            if self._waiting >= self._capacity:
                self.dropped += 1
                return
            encode_into(prediction, self._filling, -1)
            self._count += 1
            self._waiting += 1
            if len(self._filling) > _CHUNK:
                self._cut()

    def stop(self, seconds: float = 10.0) -> None:
        """Write what is waiting, as far as that takes no longer than so many seconds, and end the thread."""
        if self._thread is None:
            return
        with self._wake:
            self._stopping = True
            self._wake.notify_all()
        self._thread.join(seconds)
        with self._guard:
            if self._waiting:
                self.dropped += self._waiting
                _log.warning("%d predictions were not logged: %s", self._waiting, self.last_error or "no time left")
            self._full.clear()
            self._filling, self._count, self._waiting = bytearray(), 0, 0
        self._process.end()
        self._thread = None

    def flush(self) -> bool:
        """Write what is waiting now; whether all of it is written. Called by the log's own thread, and by tests."""
        with self._writing:
            return self._written()

    def _cut(self) -> None:
        """Close the piece of memory that is being filled; the guard is held."""
        if self._count:
            self._full.append((self._count, self._filling))
            self._filling, self._count = bytearray(), 0

    def _next(self) -> list[tuple[int, bytearray]]:
        """The pieces of the next batch, which stay in the queue."""
        with self._guard:
            self._cut()
            chosen, rows = [], 0
            for piece in self._full:
                chosen.append(piece)
                rows += piece[0]
                if rows >= BATCH:
                    break
            return chosen

    def _done(self, pieces: int, rows: int) -> None:
        with self._guard:
            for _ in range(min(pieces, len(self._full))):
                self._full.popleft()
            self._waiting = max(0, self._waiting - rows)

    def _written(self) -> bool:
        while pieces := self._next():
            rows = sum(count for count, _ in pieces)
            batch = joined(rows, [piece for _, piece in pieces])
            try:
                if not self._process.write(rows, batch, start=rows >= MANY):
                    written(self._store, batch)
            except BtcfsError as exc:
                self.last_error = f"{type(exc).__name__}: {exc}"
                if isinstance(exc, (TimeoutError, ConnectionError)):  # StoreBusy and StoreUnavailable pass
                    return False
                self.dropped += rows
                _log.warning("%d predictions were not logged: %s", rows, self.last_error)
            else:
                self.written += rows
                self.last_error = None
            self._done(len(pieces), rows)
        self._process.rest()
        return True

    def _work(self) -> None:
        due = monotonic() + self.interval
        refused = False
        while True:
            with self._wake:
                pause = min(self.interval, INTERVAL_SECONDS)
                stopping = self._stopping or self._wake.wait_for(lambda: self._stopping, pause)
            if not stopping and monotonic() < due and (refused or self._waiting < BATCH):
                continue
            try:
                done = self.flush()
            except Exception as exc:  # noqa: BLE001 - a backend may fail in any way, and the log must outlive it
                self.last_error = f"{type(exc).__name__}: {exc}"
                _log.exception("the prediction log could not write a batch of %d", self.waiting)
                done = False
            if stopping and (done or self.last_error):
                return
            refused = not done
            due = monotonic() + (min(self.interval, RETRY_SECONDS) if refused else self.interval)
