"""The engine ``processes``: as many processes of this machine as it has processors."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import get_context
from os import cpu_count
from typing import TypeVar

from btcfs.engines import bounded

T = TypeVar("T")
R = TypeVar("R")


class Processes:
    """Fresh processes, which load the plugins anew; a program that uses them keeps its start behind ``__main__``."""

    name = "processes"

    def __init__(self, workers: int | None = None, in_flight: int | None = None) -> None:
        self.workers = cpu_count() or 1 if workers is None else workers
        self.in_flight = bounded(self.workers, in_flight)
        self._pool = ProcessPoolExecutor(self.workers, mp_context=get_context("spawn"))

    def submit(self, function: Callable[[T], R], task: T) -> Future[R]:
        return self._pool.submit(function, task)

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)
