"""What an engine is: it runs tasks in other processes, here or on other machines, a bounded number at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from importlib.metadata import EntryPoint
from typing import Protocol, TypeVar, runtime_checkable

from btcfs import backends
from btcfs.errors import ConfigError

GROUP = "btcfs.engines"
LOCAL = "local"  # this process, which needs no engine
MOST_IN_FLIGHT = 16

T = TypeVar("T")
R = TypeVar("R")
Result = TypeVar("Result", covariant=True)


class Pending(Protocol[Result]):
    """The promise of one result, such as a ``concurrent.futures.Future``."""

    def result(self) -> Result:
        """Wait for the result. What the function raised, or the engine's own error, is raised here."""

    def cancel(self) -> object:
        """Give up the result; a task that has not begun need not begin. Doing it late or twice changes nothing."""


@runtime_checkable
class Engine(Protocol):
    """Something that runs tasks elsewhere. Laws, tested by ``btcfs.testing.EngineTests``.

    ``workers`` is how many tasks run at once, ``in_flight`` how many may be submitted and not yet taken:
    at most so many results exist. A task comes back whole, with the same bits, however large.
    """

    name: str
    workers: int
    in_flight: int

    def submit(self, function: Callable[[T], R], task: T) -> Pending[R]:
        """Have a worker call the function, which it imports by its name, on the task; returns before it is done.

        Task and result can be pickled.
        """

    def close(self) -> None:
        """Give up what still runs and let go of what this engine started; a cluster that was there before stays."""


def find(name: str) -> EntryPoint:
    """The entry point of that engine; ConfigError, with the installed ones, if there is none."""
    return backends.only(GROUP, "engine", name, built_in=(LOCAL,))


def in_order(
    engine: Engine, function: Callable[[T], R], tasks: Iterable[T]
) -> Generator[tuple[T, Pending[R]], None, None]:
    """Each task with its result to wait for, in the order given; tasks are drawn as results are taken.

    At most ``engine.in_flight`` are submitted and not yet given. Whatever ends the iteration, the rest are cancelled.
    """
    waiting: deque[tuple[T, Pending[R]]] = deque()
    try:
        for task in tasks:
            waiting.append((task, _submitted(engine, function, task)))
            if len(waiting) == engine.in_flight:
                yield waiting.popleft()
        while waiting:
            yield waiting.popleft()
    finally:
        for _, pending in waiting:
            pending.cancel()


def _submitted(engine: Engine, function: Callable[[T], R], task: T) -> Pending[R]:
    """The promise of the result; an engine that went and takes no task breaks it where the result is waited for."""
    try:
        return engine.submit(function, task)
    except Exception as exc:  # noqa: BLE001 - every engine has errors of its own; this one is raised by result()
        from concurrent.futures import Future

        broken: Future[R] = Future()
        broken.set_exception(exc)
        return broken


def bounded(workers: int, in_flight: int | None) -> int:
    """The results in flight that were asked for, or two for each worker, at most 16. ConfigError below 1."""
    for name, number in (("workers", workers), ("in_flight", in_flight)):
        if number is not None and number < 1:
            raise ConfigError(f"an engine's {name} is {number}, expected a whole number of at least 1")
    return in_flight or min(2 * workers, MOST_IN_FLIGHT)
