"""The rules of circuits and of threads that may hang."""

from __future__ import annotations

from threading import Event

import attrs
import pytest

from btcfs.errors import StoreUnavailable
from btcfs.fallback.breaker import Breaker, Leave
from btcfs.fallback.workers import Workers


@attrs.define
class Clock:
    at: float = 0.0

    def __call__(self) -> float:
        return self.at


def opened(clock: Clock) -> Breaker:
    breaker = Breaker(failures=3, rest=5.0, longest=20.0, clock=clock)
    for _ in range(3):
        assert breaker.leave() is Leave.GO
        breaker.failed("no route")
    return breaker


def test_only_failures_in_a_row_open_it() -> None:
    """An answer in between starts the count anew."""
    breaker = Breaker(failures=3)
    for _ in range(5):
        breaker.failed("no")
        breaker.failed("no")
        breaker.succeeded()
    assert (breaker.state, breaker.leave()) == ("closed", Leave.GO)


def test_one_call_probes_after_the_rest() -> None:
    """While it rests nobody is let through; then one is, and its answer decides for all."""
    clock = Clock()
    breaker = opened(clock)
    assert (breaker.state, breaker.leave(), breaker.reason) == ("open", Leave.WAIT, "no route")
    clock.at = 5.0
    assert breaker.state == "half-open"
    assert [breaker.leave() for _ in range(3)] == [Leave.PROBE, Leave.WAIT, Leave.WAIT]
    breaker.succeeded()
    assert (breaker.state, breaker.leave()) == ("closed", Leave.GO)


def test_the_rest_doubles_up_to_the_longest() -> None:
    """Each probe that fails is followed by a longer rest, and an answer brings back the first one."""
    clock = Clock()
    breaker = opened(clock)
    for rest in (5.0, 10.0, 20.0, 20.0):
        clock.at += rest - 0.5
        assert breaker.leave() is Leave.WAIT
        clock.at += 0.5
        assert breaker.leave() is Leave.PROBE
        breaker.failed("still not")
    clock.at += 20.0
    assert breaker.leave() is Leave.PROBE
    breaker.succeeded()
    for _ in range(3):
        breaker.failed("again")
    clock.at += 5.0
    assert breaker.leave() is Leave.PROBE


def test_a_probe_that_hangs_is_given_up() -> None:
    """After the longest rest another call may probe; and whoever asks for it may at once."""
    clock = Clock()
    breaker = opened(clock)
    breaker.rested()
    assert breaker.leave() is Leave.PROBE
    clock.at += 19.9
    assert breaker.leave() is Leave.WAIT
    clock.at += 0.2
    assert breaker.leave() is Leave.PROBE


def test_hanging_calls_are_bounded() -> None:
    """When all threads hang the next call is refused at once; when they return they are used again."""
    workers, healed = Workers(2), Event()
    tasks = [workers.start(lambda: healed.wait(60)) for _ in range(2)]
    assert not any(task.wait(0.01) for task in tasks)
    with pytest.raises(StoreUnavailable, match="all 2 calls"):
        workers.start(lambda: 1)
    healed.set()
    assert all(task.wait(10) for task in tasks)
    done = 0
    while done < 5:
        try:
            task = workers.start(lambda: 7)
        except StoreUnavailable:
            continue  # a thread that has answered is on its way back to the pool
        assert task.wait(10)
        assert task.result() == 7
        done += 1
    workers.close()


def test_a_kept_thread_does_its_callers_calls_in_order() -> None:
    """All calls given to a kept thread run in one thread, and it serves others after its release only."""
    from btcfs.fallback.workers import Task

    workers = Workers(1)
    worker = workers.keep()
    order: list[int] = []
    tasks = [Task(lambda n=n: order.append(n)) for n in range(5)]
    for task in tasks:
        worker.submit(task)
    with pytest.raises(StoreUnavailable):
        workers.start(lambda: None)
    workers.release(worker)
    assert tasks[-1].wait(10)
    assert order == [0, 1, 2, 3, 4]
    workers.close()
