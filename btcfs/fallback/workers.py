"""Threads for calls that may never return: the caller waits no longer than it said, and the thread is left behind."""

from __future__ import annotations

import os
from collections.abc import Callable
from queue import SimpleQueue
from threading import Event, Lock, Thread
from typing import Any, Generic, TypeVar

from btcfs.errors import StoreUnavailable

T = TypeVar("T")

_STOP, _FREE = "stop", "free"


class Task(Generic[T]):
    """One call and, once it is done, what it returned or raised."""

    def __init__(self, work: Callable[[], T]) -> None:
        self._work = work
        self._done = Event()
        self._result: Any = None
        self._error: BaseException | None = None

    def run(self) -> None:
        """Do the call, and keep whatever comes of it for the caller, if one still waits."""
        try:
            self._result = self._work()
        except BaseException as exc:  # noqa: BLE001 - it is raised again in the thread that asked
            self._error = exc
        self._done.set()

    def wait(self, seconds: float | None) -> bool:
        """Whether it was done within so many seconds."""
        return self._done.wait(seconds)

    def result(self) -> T:
        """What the call returned; raises what it raised. Only after ``wait``."""
        if self._error is not None:
            raise self._error
        result: T = self._result
        return result


class Worker:
    """A daemon thread that does one call after another; a hanging one holds up neither the caller nor the exit."""

    def __init__(self, number: int, idle: Callable[[Worker], None]) -> None:
        self._tasks: SimpleQueue[Task[Any] | str] = SimpleQueue()
        self._idle = idle
        self.kept = False  # by one caller, for calls that must all run in one thread
        Thread(target=self._run, name=f"btcfs-primary-{number}", daemon=True).start()

    def submit(self, task: Task[Any]) -> None:
        self._tasks.put(task)

    def stop(self) -> None:
        """End the thread after the calls that it has."""
        self._tasks.put(_STOP)

    def free(self) -> None:
        """Back to the pool after the calls that it has."""
        self._tasks.put(_FREE)

    def _run(self) -> None:
        while True:
            task = self._tasks.get()
            if task == _STOP:
                return
            if isinstance(task, Task):
                task.run()
            else:
                self.kept = False
            if not self.kept:
                self._idle(self)


class Workers:
    """At most ``limit`` threads. When all of them hang, StoreUnavailable comes at once."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._lock = Lock()
        self._idle: list[Worker] = []
        self._count = 0
        self._closed = False
        self._process = os.getpid()

    def start(self, work: Callable[[], T]) -> Task[T]:
        """Begin a call in a thread of the pool."""
        task = Task(work)
        self._taken().submit(task)
        return task

    def keep(self) -> Worker:
        """A thread for one caller alone; give it back with ``release``."""
        worker = self._taken()
        worker.kept = True
        return worker

    def release(self, worker: Worker) -> None:
        """Give a kept thread back; it is free when what it was given last is done."""
        worker.free()

    def close(self) -> None:
        """End the threads, those that hang when their calls return."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for worker in idle:
            worker.stop()

    def _taken(self) -> Worker:
        with self._lock:
            if self._process != os.getpid():  # a fork has no threads but the one that forked
                self._process, self._idle, self._count = os.getpid(), [], 0
            if self._idle:
                return self._idle.pop()
            if self._count >= self._limit:
                raise StoreUnavailable(f"all {self._limit} calls that may be under way at once have not returned yet")
            self._count += 1
            number = self._count
        return Worker(number, self._returned)

    def _returned(self, worker: Worker) -> None:
        with self._lock:
            if not self._closed:
                self._idle.append(worker)
                return
        worker.stop()
