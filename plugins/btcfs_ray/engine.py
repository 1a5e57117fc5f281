"""Tasks as Ray's own tasks; their results wait in its object store until they are taken."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from typing import Any, TypeVar

# Ray reads it when it starts; an answer that the user gave before counts.
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

import ray

from btcfs.engines import bounded
from btcfs.errors import ConfigError, StoreUnavailable

R = TypeVar("R")


class RayEngine:
    """Ray as an engine. A cluster that ran before stays when this is closed."""

    name = "ray"

    def __init__(self, address: str | None, workers: int | None, in_flight: int | None) -> None:
        if address is not None and workers is not None:
            raise ConfigError("engine 'ray': workers is for a Ray of its own; a cluster has those that it has")
        self._own = not ray.is_initialized()
        if self._own:
            _start(address, workers)
        self.workers = max(1, int(ray.cluster_resources().get("CPU", 1)))
        self.in_flight = bounded(self.workers, in_flight)
        self._call = ray.remote(_called)

    def submit(self, function: Callable[[Any], R], task: Any) -> _Reference:
        return _Reference(self._call.remote(function, task))

    def close(self) -> None:
        if self._own:
            ray.shutdown()


class _Reference:
    """A result in Ray's object store; it is let go with this."""

    def __init__(self, reference: Any) -> None:
        self._reference = reference

    def result(self) -> Any:
        return ray.get(self._reference)

    def cancel(self) -> None:
        if ray.is_initialized():
            ray.cancel(self._reference, recursive=False)


def _called(function: Callable[[Any], R], task: Any) -> R:
    return function(task)


def _start(address: str | None, workers: int | None) -> None:
    options: dict[str, Any] = {"address": address} if address else {"num_cpus": workers, "include_dashboard": False}
    try:
        ray.init(log_to_driver=False, logging_level=logging.ERROR, configure_logging=False, **options)
    except (OSError, RuntimeError, ValueError) as exc:
        raise StoreUnavailable(f"engine 'ray' is not reached at {address or 'this machine'}: {exc}") from exc
