"""Every prediction as a row of a feature group, written in batches beside the requests and never in their way."""

from __future__ import annotations

import logging
from pathlib import Path
from threading import Condition, Lock, Thread
from time import monotonic

from btcfs.errors import BtcfsError
from btcfs.serving.log_process import LogProcess
from btcfs.serving.prediction_queue import PredictionQueue
from btcfs.serving.prediction_rows import PASSING, PREDICTIONS, Logged, joined, written
from btcfs.serving.prediction_spool import PredictionSpool
from btcfs.serving.spool_file import rows_of
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

_log = logging.getLogger(__name__)


class PredictionLog:
    """A bounded queue of predictions and the thread that has them written to the store.

    ``add`` never waits: when ``capacity`` predictions are waiting already, it drops this one and
    counts it. A batch that the busy store refuses stays in the queue and is tried again; one that
    it refuses for another reason is dropped and counted, and the reason logged.

    What waits is written every ``interval`` seconds, and before that if it is a whole batch. The default is two seconds, and a
    day for a store that counts its calls against a month's budget.

    Where that interval is longer than two seconds and a folder ``spool`` is given, what waits is kept there as well, every two
    seconds: a server that is killed loses no prediction older than that, and one that stops while its store refuses
    none at all. The next log with this folder takes them up, writes them at once and counts them in its capacity.

    What waits is encoded already, so that nothing of a request lives on with it. Writing a large
    batch would take the interpreter away from the requests again and again; so it is done by
    another process (``LogProcess``) where the store can be opened by one.
    """

    def __init__(
        self,
        store: FeatureStore,
        capacity: int = CAPACITY,
        interval: float | None = None,
        spool: Path | None = None,
    ) -> None:
        self.written = 0
        self.spool = None if spool is None else PredictionSpool(spool, _named(store))
        self._refused: str | None = None
        self._lost = 0  # which the store would not have, or for which no time was left
        self._store = store
        self._capacity = capacity
        self._interval = interval
        self._queue = PredictionQueue(capacity)
        self._process = LogProcess(store, IDLE_SECONDS)
        self._wake = Condition()
        self._writing = Lock()
        self._keeping = Lock()
        self._stopping = False
        self._thread: Thread | None = None
        self._keeper: Thread | None = None

    @property
    def interval(self) -> float:
        """Seconds from one write to the next."""
        if self._interval is not None:
            return self._interval
        # Asked each time, since a primary store that is away at first shows its budget later.
        return METERED_SECONDS if hasattr(self._store, "usage") else INTERVAL_SECONDS

    @property
    def last_error(self) -> str | None:
        """Why what waits is not written, or else why it is not kept on the disk; None once it is."""
        return self._refused or (None if self.spool is None else self.spool.error)

    @property
    def waiting(self) -> int:
        """Predictions that are not written yet."""
        return self._queue.waiting

    @property
    def dropped(self) -> int:
        """Predictions that will never be written."""
        return self._lost + self._queue.refused

    def start(self) -> None:
        """Begin to write, first what the spool has of earlier servers. The group is created with the first batch."""
        self._stopping = False
        if self.spool is not None:
            self._take_up(self.spool)
            self._keeper = Thread(target=self._keep_on, name="btcfs-prediction-spool", daemon=True)
            self._keeper.start()
        self._thread = Thread(target=self._work, name="btcfs-prediction-log", daemon=True)
        self._thread.start()

    def add(self, prediction: Logged) -> None:
        """Queue a prediction, or drop it if the queue is full."""
        self._queue.add(prediction)

    def stop(self, seconds: float = 10.0) -> None:
        """Write what is waiting, as far as that takes no longer than so many seconds, and end the threads.

        The rest stays in the spool; without one it is dropped.
        """
        if self._thread is None:
            return
        with self._wake:
            self._stopping = True
            self._wake.notify_all()
        self._thread.join(seconds)
        if self._keeper is not None:
            self._keeper.join()
        self._leave()
        self._process.end()
        self._thread = self._keeper = None

    def flush(self) -> bool:
        """Write what is waiting now; whether all of it is written. Called by the log's own thread, and by tests."""
        with self._writing:
            try:
                return self._written()
            finally:
                self._forget()

    def _take_up(self, spool: PredictionSpool) -> None:
        """Put what earlier servers left before anything else that waits."""
        left = spool.take(self._capacity)
        self._queue.put_first(left)
        if left:
            _log.warning(
                "%d predictions that an earlier server left in %s are written now", rows_of(left), spool.folder
            )
        if self.interval > INTERVAL_SECONDS:
            spool.keep([])  # says at once what would be in its way

    def _keep(self) -> None:
        """Have the spool keep what it has not yet."""
        if self.spool is None:
            return
        with self._keeping:
            pieces, until = self._queue.unkept()
            if pieces and self.spool.keep(pieces):
                self._queue.note_kept(until)

    def _forget(self) -> None:
        """Have the spool keep no more than still waits."""
        if self.spool is not None:
            with self._keeping:
                self.spool.renew(self._queue.kept())

    def _leave(self) -> None:
        """Leave what waits to the next server, or count it as dropped."""
        self._keep()
        with self._keeping:
            left, lost = self._queue.clear()
            if self.spool is not None:
                self.spool.close()
        self._lost += lost
        why = self.last_error or "no time left"
        if lost:
            _log.warning("%d predictions were not logged: %s", lost, why)
        if left and self.spool is not None:
            _log.warning(
                "%d predictions wait in %s for the next server that starts with it: %s", left, self.spool.folder, why
            )

    def _written(self) -> bool:
        while pieces := self._queue.first(BATCH):
            rows = rows_of(pieces)
            batch = joined(rows, [piece for _, piece in pieces])
            try:
                if not self._process.write(rows, batch, start=rows >= MANY):
                    written(self._store, batch)
            except BtcfsError as exc:
                self._refused = f"{type(exc).__name__}: {exc}"
                if isinstance(exc, PASSING):
                    return False
                self._lost += rows
                _log.warning("%d predictions were not logged: %s", rows, self._refused)
            else:
                self.written += rows
                self._refused = None
            self._queue.done(pieces)
        self._process.rest()
        return True

    def _keep_on(self) -> None:
        while not self._told_to_stop(INTERVAL_SECONDS):
            if self.interval > INTERVAL_SECONDS:
                self._keep()

    def _told_to_stop(self, seconds: float) -> bool:
        """Whether that is so before so many seconds are over, or already."""
        with self._wake:
            return self._wake.wait_for(lambda: self._stopping, seconds)

    def _work(self) -> None:
        due = monotonic() + (0 if self.waiting else self.interval)
        refused = False
        while True:
            stopping = self._told_to_stop(min(self.interval, INTERVAL_SECONDS))
            if not stopping and monotonic() < due and (refused or self.waiting < BATCH):
                continue
            try:
                done = self.flush()
            except Exception as exc:  # noqa: BLE001 - a backend may fail in any way, and the log must outlive it
                self._refused = f"{type(exc).__name__}: {exc}"
                _log.exception("the prediction log could not write a batch of %d", self.waiting)
                done = False
            if stopping and (done or self._refused):
                return
            refused = not done
            due = monotonic() + (min(self.interval, RETRY_SECONDS) if refused else self.interval)


def _named(store: FeatureStore) -> str:
    """What tells the store from another one whose predictions may wait in the same folder."""
    place = getattr(store, "place", None)
    return store.name if place is None else f"{store.name} {place}"
