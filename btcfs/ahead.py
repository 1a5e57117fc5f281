"""Calls made ahead: each while the answer to the one before it is in use."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def ahead(pool: ThreadPoolExecutor, calls: Iterable[Callable[[], T]]) -> Iterator[T]:
    """The answers in order. One call is under way at a time; the next is asked for when an answer is."""
    pending: Future[T] | None = None
    for call in calls:
        following = pool.submit(call)
        if pending is not None:
            yield pending.result()
        pending = following
    if pending is not None:
        yield pending.result()
