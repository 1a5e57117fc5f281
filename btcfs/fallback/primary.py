"""The primary store behind deadlines and breakers: it answers in time, or is unavailable."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from threading import Lock, get_ident
from typing import TypeVar

import attrs

from btcfs.errors import BtcfsError, StoreUnavailable
from btcfs.fallback.breaker import Breaker, Leave
from btcfs.fallback.workers import Task, Worker, Workers
from btcfs.store import FeatureStore

T = TypeVar("T")

_log = logging.getLogger(__name__)


class NotAsked(StoreUnavailable):
    """The primary was not even asked, so nothing can have reached it."""


@attrs.frozen
class Deadlines:
    """How long the primary may take, in seconds, for each kind of call.

    With ``hedge``, a vector that has not come after so many seconds is asked of the mirror as well.
    """

    vectors: float = 1.0
    definitions: float = 10.0
    frames: float = 60.0
    writes: float = 300.0
    opening: float = 30.0
    hedge: float | None = None


LANES = ("vectors", "definitions", "frames", "writes")  # each with a breaker: vectors may fail where frames do not


class Primary:
    """Calls on a store that may fail or hang. Several threads may share it.

    ``opener`` opens the store; it is called when the store is first asked and, if it is ``renewable``, again
    when a probe has failed, for a session may be lost for good. At most ``threads`` calls are under way at once.
    """

    def __init__(
        self,
        name: str,
        opener: Callable[[], FeatureStore],
        deadlines: Deadlines,
        breaker: Callable[[], Breaker] = Breaker,
        threads: int = 16,
        *,
        renewable: bool = True,
    ) -> None:
        self.name = name
        self.deadlines = deadlines
        self.breakers: Mapping[str, Breaker] = {lane: breaker() for lane in LANES}
        self._opener = opener
        self._renewable = renewable
        self._workers = Workers(threads)
        self._opening = Lock()
        self._store: FeatureStore | None = None
        self._worn: FeatureStore | None = None  # to be closed before another is opened
        self._kept: dict[int, Worker | None] = {}  # by thread, while it is in an exclusive block

    @property
    def opened(self) -> FeatureStore | None:
        """The open store, for what cannot block."""
        return self._store

    def open(self) -> None:
        """Open the store now. StoreUnavailable if it cannot be reached in time; anything else that its opener raises."""
        seconds = self.deadlines.opening
        self._ask("definitions", "open", seconds, lambda store: None)

    def ask(self, lane: str, call: Callable[[FeatureStore], T], *, hedged: Callable[[], T] | None = None) -> T:
        """What the call returns or raises; StoreUnavailable if that takes too long or the breaker is open.

        While it is open, a read that may probe does so in a thread of its own: its caller is told at once that
        the store is unavailable, and the answer closes the breaker for those who come later. A write waits.
        ``hedged`` is another way to the answer, taken when the store is slow.
        """
        breaker = self.breakers[lane]
        leave = breaker.leave()
        if leave is Leave.WAIT:
            raise NotAsked(f"{self.name} is not asked for now: {breaker.reason}")
        if leave is Leave.PROBE and lane != "writes":
            self._probe(breaker, call)
            raise NotAsked(f"{self.name} is being tried again: {breaker.reason}")
        if lane == "writes" and any(each.state != "closed" for each in self.breakers.values()):
            self._reach(breaker)
        seconds: float = getattr(self.deadlines, lane)
        return self._ask(lane, lane, seconds, call, hedged)

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Hold the primary's writer's place, so far as it can be reached; its calls then all run in one thread.

        Where it cannot be had, writes in this block find the primary unavailable. Blocks of a thread do not nest.
        """
        thread, stack = get_ident(), ExitStack()
        worker = self._kept[thread] = self._workers.keep()
        try:
            try:
                self.ask("writes", lambda store: stack.enter_context(store.exclusive()))
            except StoreUnavailable as exc:
                _log.warning("%s keeps no other writers out: %s", self.name, exc)
                self._kept[thread] = None
            yield
        finally:
            del self._kept[thread]
            leaving = Task(stack.close)
            worker.submit(leaving)
            self._workers.release(worker)
            if not leaving.wait(self.deadlines.definitions):
                _log.warning("%s has not let go of its writer's place yet; it will when its call returns", self.name)

    def close(self) -> None:
        """Close the store; one that hangs is left to itself."""
        store, self._store = self._store, None
        if store is not None:
            try:
                self._workers.start(store.close).wait(self.deadlines.definitions)
            except StoreUnavailable as exc:
                _log.warning("%s was not closed: %s", self.name, exc)
        self._workers.close()

    def _ask(
        self,
        lane: str,
        what: str,
        seconds: float,
        call: Callable[[FeatureStore], T],
        hedged: Callable[[], T] | None = None,
    ) -> T:
        breaker, late = self.breakers[lane], False
        try:
            task = self._started(lane, call)
            hedge = self.deadlines.hedge
            if hedged is not None and hedge is not None and hedge < seconds and not task.wait(hedge):
                try:
                    return hedged()
                except BtcfsError as exc:
                    _log.debug("the mirror does not answer either, so %s is waited for: %s", self.name, exc)
            if not task.wait(seconds):
                late = True
                raise StoreUnavailable(f"{self.name} did not answer within {seconds:g} s ({what})")
            answer = task.result()
        except StoreUnavailable as exc:
            # A write may take minutes: to wait for three of them in vain would keep other writers out too long.
            self._failed(breaker, str(exc), at_once=late and lane == "writes")
            raise
        except BaseException:
            breaker.succeeded()  # it answered, if only to refuse
            raise
        breaker.succeeded()
        return answer

    def _reach(self, writes: Breaker) -> None:
        """See with a short call whether the store is there, before a write waits for it as long as a write may take."""
        try:
            self._ask("definitions", "tried before a write", self.deadlines.definitions, lambda s: s.definitions())
        except StoreUnavailable as exc:
            self._failed(writes, str(exc))
            raise NotAsked(str(exc)) from exc
        except BtcfsError:
            return  # it answers

    def _started(self, lane: str, call: Callable[[FeatureStore], T]) -> Task[T]:
        work = partial(self._called, call)
        thread = get_ident()
        if thread not in self._kept:
            return self._workers.start(work)
        worker = self._kept[thread]
        if worker is None:
            if lane == "writes":
                raise NotAsked(f"{self.name} could not be kept for this writer")
            return self._workers.start(work)
        task = Task(work)
        worker.submit(task)
        return task

    def _called(self, call: Callable[[FeatureStore], T]) -> T:
        return call(self._store or self._open())

    def _open(self) -> FeatureStore:
        with self._opening:
            worn, self._worn = self._worn, None
            if worn is not None:
                try:
                    worn.close()
                except BtcfsError as exc:
                    _log.warning("a lost session with %s was not closed: %s", self.name, exc)
            if self._store is None:
                self._store = self._opener()
            return self._store

    def _renew(self) -> None:
        """Let the next call open the store anew."""
        # One who opens it may hang in there, and then it is new anyhow.
        if self._opening.acquire(blocking=False):
            try:
                if self._store is not None and not self._kept:
                    self._store, self._worn = None, self._store
            finally:
                self._opening.release()

    def _failed(self, breaker: Breaker, reason: str, *, at_once: bool = False) -> None:
        probed = breaker.state != "closed"
        breaker.failed(reason, at_once=at_once)
        if probed and self._renewable:
            self._renew()

    def _probe(self, breaker: Breaker, call: Callable[[FeatureStore], object]) -> None:
        def tried() -> None:
            try:
                self._called(call)
            except StoreUnavailable as exc:
                self._failed(breaker, str(exc))
            except BaseException as exc:  # noqa: BLE001 - it is an answer; whoever asks next is given it
                breaker.succeeded()
                _log.debug("%s answers again, with %s", self.name, exc)
            else:
                breaker.succeeded()
                _log.info("%s answers again", self.name)

        try:
            self._workers.start(tried)
        except StoreUnavailable as exc:
            breaker.failed(str(exc))
