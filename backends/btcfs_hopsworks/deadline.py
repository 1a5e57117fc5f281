"""Calls that end by a deadline whatever they wait for: each runs in a thread that is left behind if it is late."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from btcfs.errors import StoreUnavailable

Result = TypeVar("Result")


class Workers:
    """Daemon threads, reused; one that hangs is given up and replaced by the next call.

    ``started`` is called in each new thread, with its identifier.
    """

    def __init__(self, started: Callable[[int], None] | None = None) -> None:
        self._idle: queue.SimpleQueue[_Worker] = queue.SimpleQueue()
        self._started = started

    def call(self, what: str, seconds: float, function: Callable[[], Result]) -> Result:
        """What the function returns or raises; StoreUnavailable if it has not ended after so many seconds."""
        try:
            worker = self._idle.get_nowait()
        except queue.Empty:
            worker = _Worker(self._started)
        answer: queue.SimpleQueue[tuple[bool, Any]] = queue.SimpleQueue()
        worker.tasks.put((function, answer))
        try:
            good, value = answer.get(timeout=max(seconds, 0.001))
        except queue.Empty:
            worker.tasks.put(None)
            raise StoreUnavailable(
                f"Hopsworks did not answer within {seconds:.3g} s: {what}. Look at the cluster's health, or raise timeout"
            ) from None
        self._idle.put(worker)
        if good:
            result: Result = value
            return result
        raise value

    def close(self) -> None:
        """Let the idle threads end."""
        while True:
            try:
                self._idle.get_nowait().tasks.put(None)
            except queue.Empty:
                return


class _Worker:
    def __init__(self, started: Callable[[int], None] | None) -> None:
        self.tasks: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._started = started
        threading.Thread(target=self._run, name="btcfs-hopsworks", daemon=True).start()

    def _run(self) -> None:
        if self._started is not None:
            self._started(threading.get_ident())
        while True:
            task = self.tasks.get()
            if task is None:
                return
            function, answer = task
            try:
                answer.put((True, function()))
            except BaseException as exc:  # noqa: BLE001 - handed over to the caller, who raises it
                answer.put((False, exc))
            del task, function, answer
