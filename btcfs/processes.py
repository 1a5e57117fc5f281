"""The engine ``processes``: as many processes of this machine as it has processors."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import get_context, parent_process
from threading import Thread
from typing import TypeVar

from btcfs.engines import bounded

T = TypeVar("T")
R = TypeVar("R")


class Processes:
    """Fresh processes, which load the plugins anew; a program that uses them keeps its start behind ``__main__``."""

    name = "processes"

    def __init__(self, workers: int | None = None, in_flight: int | None = None) -> None:
        self.workers = os.cpu_count() or 1 if workers is None else workers
        self.in_flight = bounded(self.workers, in_flight)
        self._pool = ProcessPoolExecutor(self.workers, mp_context=get_context("spawn"), initializer=_end_with_driver)

    def submit(self, function: Callable[[T], R], task: T) -> Future[R]:
        return self._pool.submit(function, task)

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)


def _end_with_driver() -> None:
    """Have this worker end when its driver is killed; by itself it would wait for tasks for ever."""
    driver = parent_process()
    assert driver is not None

    def wait() -> None:
        driver.join()
        os._exit(1)

    Thread(target=wait, daemon=True).start()
